package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/spec"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// personFlags say who the program of run --rootfs is, what it sees of the caller's
// home, and what confines it.
type personFlags struct {
	asRoot   bool
	home     string
	security []string
	overlay  string
	keepID   bool
	notes    []string // for whoever typed the command
	// elsewhere says of covered places that are not in the home why they are.
	elsewhere map[string]string
}

func (f *personFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&f.asRoot, "as-root", false, withRootfs+"be root, with all subordinate ids (the default where the root is not / and without --here)")
	flags.StringVar(&f.home, "home", "", withRootfs+"have your home, without keys and tokens: ro or rw")
	flags.StringVar(&f.overlay, "overlay", "", withRootfs+"let the program change everything, in memory; with =DIR keep the changes in DIR (implies --as-root)")
	flags.Lookup("overlay").NoOptDefVal = inMemory
	flags.Var((*repeated)(&f.security), "security-opt", withRootfs+"seccomp=unconfined, seccomp=FILE, or no-new-privileges=false")
}

// person finds who the caller is. root is the container's, here the current
// directory if it is wanted.
func (f *personFlags) person(root, here string) (spec.Person, error) {
	f.notes, f.elsewhere = nil, map[string]string{}
	if !slices.Contains([]string{"", "ro", "rw"}, f.home) {
		return spec.Person{}, fmt.Errorf("--home %s: want ro or rw", f.home)
	}
	whole := root == "/"
	p := spec.Person{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Path: os.Getenv("PATH"), Visible: f.home}
	f.who(&p, whole || here != "" || f.keepID)
	if mask := umask(); mask != usualUmask {
		p.Umask = &mask
	}
	p.Env = passedOn(whole || p.Self)
	if !whole && !p.Self && f.home == "" && here == "" {
		return p, nil
	}
	p.Name = f.homes(&p)
	seen := spec.Seen{Whole: whole, Here: currentDir(here), Home: realDir(p.Home), Private: f.home == ""}
	switch {
	case f.home != "" && p.Home == "":
		return p, errors.New("--home: $HOME is no directory of yours")
	case seen.Here.Real == "/":
		return p, errors.New("--here in /: that is the whole file system; change into the directory that you mean, or use --writable")
	case f.home != "rw" && here != "" && p.Home != "" && spec.Within(seen.Home.Real, seen.Here.Real):
		p.Visible, seen.Private = "here", false
		f.notes = append(f.notes, "the current directory holds your home, which the program can change; keys and tokens are covered")
	}
	f.keys(&p, seen)
	return p, nil
}

// usualUmask is that of a program that is not the caller.
const usualUmask = 0o22

// umask is the caller's, of which ownModes has cleared the owner's bits. It can only be read by setting
// it, for a moment to one that lets nobody see more.
func umask() uint32 {
	mask := unix.Umask(0o077)
	unix.Umask(mask)
	return uint32(mask)
}

// who decides between the caller and root.
func (f *personFlags) who(p *spec.Person, ownFiles bool) {
	p.Self = !f.asRoot && f.overlay == "" && p.UID != 0 && ownFiles
	p.Everyone = f.overlay != "" && p.UID == 0 && inFirstNamespace()
}

// inFirstNamespace reports whether all ids are there to be mapped.
func inFirstNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && slices.Equal(strings.Fields(string(text)), []string{"0", "0", "4294967295"})
}

// inMemory is the value of --overlay without one.
const inMemory = "tmpfs"

// requestedOverlay is --overlay: where changes of the root go; nil without.
func (f *personFlags) requestedOverlay() (*container.Overlay, error) {
	switch f.overlay {
	case "":
		return nil, nil
	case inMemory:
		return &container.Overlay{}, nil
	}
	dir, err := filepath.Abs(f.overlay)
	if err != nil {
		return nil, fmt.Errorf("--overlay=%s: %w", f.overlay, unwrapPath(err))
	}
	return &container.Overlay{Dir: dir}, nil
}

// passedOn is what of the environment goes along.
func passedOn(same bool) []string {
	list := slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return !spec.Passes(name, same)
	})
	slices.Sort(list)
	return list
}

// keys finds what is covered.
func (f *personFlags) keys(p *spec.Person, seen spec.Seen) {
	var real, links []string
	for _, home := range p.Homes {
		r, l := keysOf(home, p.UID)
		real, links = append(real, r...), append(links, l...)
		f.noteElsewhere(home, seen.Covers(r), l)
	}
	r, l := keysMoved(p, seen.Here, os.Getenv)
	real, links = append(real, r...), append(links, l...)
	for _, socket := range spec.Sockets() {
		var st unix.Stat_t
		if seen.Whole && unix.Lstat(socket, &st) == nil {
			real = append(real, socket)
		}
	}
	p.Keys, p.Links = seen.Covers(real), seen.Covers(links)
	if slices.ContainsFunc(real, func(key string) bool { return seen.Here.Real != "" && spec.Within(seen.Here.Real, key) }) {
		f.notes = append(f.notes, "the current directory is one of keys and tokens, which the program sees")
	}
}

// noteElsewhere says which covered places are not in the home: a program that may change the
// home can have a link lead to /usr, and whoever starts the next one wonders where that is.
func (f *personFlags) noteElsewhere(home string, covered, links []string) {
	if len(links) == 0 { // the home itself has another name
		return
	}
	for _, key := range covered {
		if !spec.Within(key, home) && !spec.Within(key, realDir(home).Real) {
			why := fmt.Sprintf("%q is covered: a place of keys in your home is a link to it (%s)", key, strings.Join(links, ", "))
			f.elsewhere[key], f.notes = why, append(f.notes, why)
		}
	}
}

// whyCovered says why a file is covered that is not in the home; empty where it is not.
func (f *personFlags) whyCovered(file string) string {
	for key, why := range f.elsewhere {
		if spec.Within(file, key) {
			return why
		}
	}
	return ""
}

// homes finds the caller's home directories, by $HOME and by /etc/passwd: those
// that exist and are the caller's. / is none that could be covered.
func (f *personFlags) homes(p *spec.Person) (name string) {
	name = os.Getenv("USER")
	candidates := []string{os.Getenv("HOME")}
	if text, err := bundle.ReadRegular("/etc/passwd"); err == nil {
		if n, home := inPasswd(text, p.UID); n != "" {
			name, candidates = n, append(candidates, home)
		}
	}
	for i, home := range candidates {
		var st unix.Stat_t
		if home = filepath.Clean(home); !filepath.IsAbs(home) || home == "/" || slices.Contains(p.Homes, home) || unix.Stat(home, &st) != nil ||
			st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid != p.UID {
			continue
		}
		p.Homes = append(p.Homes, home)
		if i == 0 || p.Home == "" {
			p.Home = home
		}
	}
	return name
}

// inPasswd finds a user in a text like passwd(5).
func inPasswd(text []byte, uid uint32) (name, home string) {
	id := strconv.FormatUint(uint64(uid), 10)
	for line := range bytes.Lines(text) {
		if f := strings.Split(string(bytes.TrimSpace(line)), ":"); len(f) == 7 && f[2] == id {
			return f[0], f[5]
		}
	}
	return "", ""
}

// currentDir is the current directory with its name. Where it really is says the
// kernel: a program that may change what is above it can put a link in its place.
func currentDir(name string) spec.Dir {
	if real, err := unix.Getwd(); name != "" && err == nil {
		return spec.Dir{Real: real, Name: filepath.Clean(name)}
	}
	return realDir(name)
}

// realDir is a directory with its name; without links, as far as those can be
// followed.
func realDir(name string) spec.Dir {
	if name == "" {
		return spec.Dir{}
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		real = filepath.Clean(name)
	}
	return spec.Dir{Real: real, Name: filepath.Clean(name)}
}

// keysOf finds where the keys and tokens of a home really are, and the symbolic links that
// lead there. Most of the places that are listed are not there, which one look at each
// directory says.
func keysOf(home string, uid uint32) (real, links []string) {
	looks := looks{}
	for _, key := range spec.Keys() {
		if !looks.mayHave(home, key) {
			continue
		}
		r, l, found := keyAt(home+"/"+key, uid)
		if found {
			real = append(real, r)
		}
		links = append(links, l...) // also one that leads nowhere today
	}
	return real, links
}

// keysMoved finds the places that variables name in place of those in a home. A place counts if
// it is the caller's and no home lies in it. One in the current directory is shown with that
// directory, unless a home lies there, too.
func keysMoved(p *spec.Person, here spec.Dir, getenv func(name string) string) (real, links []string) {
	holdsHome := func(dir string) bool {
		return slices.ContainsFunc(p.Homes, func(home string) bool { return spec.Within(realDir(home).Real, dir) })
	}
	shared := func(key string) bool {
		return here.Real != "" && key != here.Real && spec.Within(key, here.Real) && !holdsHome(here.Real)
	}
	for _, name := range namedKeys(p.Home, getenv) {
		r, l, found := keyAt(name, p.UID)
		if found && owns(p.UID, r) && r != "/" && !holdsHome(r) && !shared(r) {
			real, links = append(real, r), append(links, l...)
		}
	}
	return real, links
}

// namedKeys are the absolute paths that variables name in place of those in a home. They are
// not cleaned: after a link only the kernel knows what ".." means.
func namedKeys(home string, getenv func(name string) string) (list []string) {
	looks := looks{}
	for variable, below := range spec.MovedDirectories() {
		dir := rooted(getenv(variable), home)
		if dir == "" {
			continue
		}
		for _, key := range spec.Keys() {
			if rest, in := strings.CutPrefix(key, below); in && looks.mayHave(dir, rest) {
				list = append(list, dir+"/"+rest)
			}
		}
	}
	for _, variable := range spec.MovedKeys() {
		value := getenv(variable)
		for _, name := range append(filepath.SplitList(value), value) { // a name may have colons
			if name = rooted(name, home); name != "" {
				list = append(list, name)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// rooted is the path from the root on; empty for none, and for a relative one where the current
// directory was removed, as it leads nowhere.
func rooted(name, home string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	if rest, in := strings.CutPrefix(name, "~/"); in && home != "" { // gpg and aws take it so
		return home + "/" + rest
	}
	cwd, err := unix.Getwd()
	if err != nil {
		return ""
	}
	return cwd + "/" + name
}

// keyAt finds where a key really is, and the links on the way. A directory of the caller's own
// may be closed even to the caller. Then keyAt finds that directory in place of the key in it:
// the program may be the caller, and open it again.
func keyAt(name string, uid uint32) (real string, links []string, found bool) {
	real, links, err := followLinks(name)
	return real, links, err == nil || errors.Is(err, unix.EACCES) && owns(uid, real)
}

func owns(uid uint32, file string) bool {
	var st unix.Stat_t
	return unix.Stat(file, &st) == nil && st.Uid == uid
}

// mostLinks is how many links the kernel follows: path_resolution(7).
const mostLinks = 40

// followLinks finds where an absolute path really leads, and the links on the way. With an
// error it is how far it came.
func followLinks(name string) (real string, links []string, err error) {
	real = "/"
	for part, rest := "", name; rest != ""; {
		part, rest, _ = strings.Cut(rest, "/")
		next := filepath.Join(real, part)
		target, err := os.Readlink(next)
		switch {
		case errors.Is(err, unix.EINVAL), part == "", part == ".", part == "..": // no link
			real = next
			continue
		case err != nil:
			return real, links, err
		case len(links) == mostLinks:
			return real, links, unix.ELOOP
		}
		links = append(links, next)
		if filepath.IsAbs(target) {
			real = "/"
		}
		rest = target + "/" + rest
	}
	return real, links, nil
}

// looks are the names in the directories that were looked into, nil where that
// failed.
type looks map[string][]string

// mayHave reports whether a path below dir may be there: each part is listed, in letters
// of any case, which some file systems take for the same name, or the directory that
// it is in cannot be read. What is no directory is not opened: a FIFO would block.
func (l looks) mayHave(dir, path string) bool {
	name, rest, deeper := strings.Cut(path, "/")
	names, known := l[dir]
	if !known {
		if d, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
			if names, err = d.Readdirnames(-1); err != nil {
				names = nil
			}
			d.Close()
		}
		l[dir] = names
	}
	listed := func(n string) bool { return strings.EqualFold(n, name) }
	return (names == nil || slices.ContainsFunc(names, listed)) && (!deeper || l.mayHave(dir+"/"+name, rest))
}

// confinement reads --security-opt.
func (f *personFlags) confinement() (o spec.Security, err error) {
	o.Arch, o.Filtered = runtime.GOARCH, true
	for _, text := range f.security {
		name, value, valued := strings.Cut(text, "=")
		if !valued { // docker's older spelling: no-new-privileges:true
			name, value, valued = strings.Cut(text, ":")
		}
		switch {
		case name == "label" && value == "disable" || name == "apparmor" && value == "unconfined": // homerun sets neither
		case name == "seccomp" && value == "unconfined":
			o.Filtered, o.Profile = false, nil
		case name == "seccomp" && value != "":
			var profile []byte
			if profile, err = readFile(value); err == nil {
				o.Profile, err = spec.ParseProfile(profile)
			}
			if err != nil {
				return o, fmt.Errorf("--security-opt %q: %w", text, err)
			}
		case name == "no-new-privileges" && (!valued || value == "true"):
			o.NewPrivileges = false
		case name == "no-new-privileges" && value == "false":
			o.NewPrivileges = true
		default:
			return o, fmt.Errorf("--security-opt %q: want seccomp=unconfined, seccomp=FILE, no-new-privileges[=false], label=disable or apparmor=unconfined", text)
		}
	}
	return o, nil
}
