package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/userns"
)

const oneID = "containers have one uid and one gid only: package managers, tar as root and images with several users fail in them"

func (h *Host) subuid() Row { return h.granted(userns.UID, h.Facts.Subordinate.UIDs) }
func (h *Host) subgid() Row { return h.granted(userns.GID, h.Facts.Subordinate.GIDs) }

// idsMatter reports whether the caller needs subordinate ids at all: who is root of the
// machine may map any, and root of a nested namespace gets what that has.
func (h *Host) idsMatter() bool { return h.Facts.Process.UID != 0 }

func (h *Host) granted(kind userns.Kind, ranges []host.Range) Row {
	if !h.idsMatter() {
		return Row{}
	}
	file, total, texts := "/etc/sub"+string(kind), uint64(0), []string{}
	if source := h.Facts.Subordinate.Source; source != "" {
		file = source
	}
	for _, r := range ranges {
		total += uint64(r.Size)
		texts = append(texts, fmt.Sprintf("%d-%d", r.Start, uint64(r.Start)+uint64(r.Size)-1))
	}
	r := fine(file + " grants " + strings.Join(texts, ", "))
	switch {
	case total == 0 && h.IDFiles[kind] == "EACCES":
		return Row{State: Missing, Found: file + " cannot be read by this user: EACCES", Consequence: oneID, Fix: []string{"sudo chmod a+r " + file}}
	case total == 0:
		r = Row{State: Missing, Found: file + " grants no " + string(kind) + "s to " + h.user(), Consequence: oneID}
	case total < userns.UsualSize:
		r.State, r.Consequence = Degraded, fmt.Sprintf("%d %ss, where images count on %d: files of higher ids cannot be unpacked", total, kind, userns.UsualSize)
	default:
		h.shared(kind, file, &r)
		return r
	}
	h.grant(kind, &r)
	return r
}

// shared says who else is granted some of the ids.
func (h *Host) shared(kind userns.Kind, file string, r *Row) {
	s, ok := h.Shared[kind]
	if !ok {
		return
	}
	r.State = Degraded
	r.Found += fmt.Sprintf(", and in line %d some of these to %s", s.Other.Line, plain.Text(s.Other.Owner))
	r.Consequence = "files of these ids, in containers and images, can be read and changed by both users"
	r.Advice = "the files of containers and images that there are keep their ids: make them anew, or have podman system migrate do so"
	if s.Free != 0 {
		r.Fix = []string{setLine(file, s.Own.Line, s.Own.Owner, userns.Moved(s.Own.Range, s.Free))}
	}
}

// setLine is a command that has a line grant ids. A name of a domain's may have a backslash.
func setLine(file string, line int, owner string, r host.Range) string {
	owner = strings.NewReplacer(`\`, `\\`, "/", `\/`, "&", `\&`).Replace(owner)
	return fmt.Sprintf("sudo sed -i %s %s", plain.ShellWord(fmt.Sprintf("%ds/.*/%s:%d:%d/", line, owner, r.Start, r.Size)), file)
}

// echo is a command that prints a line. A shell's echo may read a backslash as more than that.
func echo(line string) string {
	if word := plain.ShellWord(line); word != line {
		return `printf '%s\n' ` + word
	}
	return "echo " + line
}

// grant says how to come by ids.
func (h *Host) grant(kind userns.Kind, r *Row) {
	s := h.Facts.Subordinate
	free, line := s.FreeUID, s.UIDLine
	if kind == userns.GID {
		free, line = s.FreeGID, s.GIDLine
	}
	file, name := "/etc/sub"+string(kind), s.Login
	if name == "" {
		name = strconv.Itoa(h.Facts.Process.UID)
	}
	switch {
	case r.State == Degraded && (s.Source != "" || free == 0):
		r.Advice = "have the range in " + file + " enlarged"
	case s.Source != "" || free == 0:
		r.Advice = userns.HintGrant(kind, h.Facts)
	case line > 0:
		r.Advice = fmt.Sprintf("line %d of %s is not NAME:FIRST:COUNT; it may end with a carriage return or a comment", line, file)
		r.Fix = []string{setLine(file, line, name, host.Range{Start: free, Size: userns.UsualSize})}
	case s.Login == "" || h.IDFiles[kind] == "ENOENT": // usermod makes no such file
		r.Fix = []string{fmt.Sprintf("%s | sudo tee -a %s", echo(fmt.Sprintf("%s:%d:%d", name, free, userns.UsualSize)), file)}
	default:
		r.Fix = []string{fmt.Sprintf("sudo usermod --add-sub%ss %d-%d %s", kind, free, free+userns.UsualSize-1, plain.ShellWord(s.Login))}
	}
}

func (h *Host) user() string {
	if name := h.Facts.Subordinate.Login; name != "" {
		return name
	}
	return "uid " + strconv.Itoa(h.Facts.Process.UID)
}

func (h *Host) newuidmap() Row {
	s := h.Facts.Subordinate
	return h.setter(userns.UID, s.NewUIDMap, h.NewUIDMap, s.UIDTrouble)
}

func (h *Host) newgidmap() Row {
	s := h.Facts.Subordinate
	return h.setter(userns.GID, s.NewGIDMap, h.NewGIDMap, s.GIDTrouble)
}

// setter is about the program that writes the map.
func (h *Host) setter(kind userns.Kind, path string, s Setter, trouble host.Trouble) Row {
	if !h.idsMatter() {
		return Row{}
	}
	name := "new" + string(kind) + "map"
	r := Row{State: Missing, Consequence: oneID}
	switch {
	case path == "" && s.Closed != "":
		r.Found = s.Closed + " cannot be executed"
		r.Fix = []string{"sudo chown root:root " + plain.ShellWord(s.Closed), "sudo chmod 4755 " + plain.ShellWord(s.Closed)}
	case path == "":
		r.Found = name + " is not installed"
		h.Packages.install(&r, "uidmap")
	case h.Facts.Process.NoNewPrivileges:
		r.Found, r.Advice = "no_new_privs is set, so "+name+" gains no privilege", userns.HintNoNewPrivileges()
	case s.Nosuid && !h.Facts.UserNamespace.Initial:
		r.Found = path + " is on a file system mounted nosuid, so it gains no privilege"
		r.Advice = "the outer container or sandbox has it so: run outside of that"
	case s.Nosuid:
		r.Found = path + " is on a file system mounted nosuid, so it gains no privilege"
		r.Fix = []string{"sudo mount -o remount,suid " + plain.ShellWord(s.Mount)}
		r.Advice = "take nosuid out of the line for " + s.Mount + " in /etc/fstab as well"
	case !s.Gains:
		r.Found = path + " is neither setuid root nor has the file capability cap_set" + string(kind)
		r.Fix = []string{"sudo chown root:root " + plain.ShellWord(path), "sudo chmod u+s " + plain.ShellWord(path)}
	case trouble == host.TroubleBounding:
		r.Found = path + " gains no privilege: the capability bounding set lacks CAP_SYS_ADMIN, CAP_SETUID or CAP_SETGID"
		r.Advice = "an outer container or a unit (CapabilityBoundingSet=) took it away"
	case trouble == host.TroubleNobody:
		r.Found = fmt.Sprintf("%s wants a login name, and uid %d has none", path, h.Facts.Process.UID)
		r.Advice = "add the user to /etc/passwd"
	default:
		return fine(path)
	}
	return r
}
