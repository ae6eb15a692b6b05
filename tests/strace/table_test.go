package strace

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// line is one of the runtime's column as `plan --json` prints it.
type line struct{ Line, Undo string }

// verb is a part of a line: mkdir("container", 0755).
type verb struct {
	name      string
	arguments []string // strings without their quotes
}

// verbs parts a line.
func verbs(text string) []verb {
	text, _, _ = strings.Cut(text, "  // ")
	if _, call, ok := strings.Cut(text, " = "); ok && text[0] == '$' {
		text = call
	}
	if word, rest, ok := strings.Cut(text, " "); ok && (word == "await" || word == "answer") {
		return []verb{{word, []string{rest}}}
	}
	var list []verb
	for _, part := range topLevel(text) {
		name, rest, _ := strings.Cut(part, "(")
		v := verb{name: name}
		for _, a := range topLevel(strings.TrimSuffix(rest, ")")) {
			if s, err := strconv.Unquote(a); err == nil {
				a = s
			}
			v.arguments = append(v.arguments, a)
		}
		list = append(list, v)
	}
	return list
}

// topLevel parts a text at its commas that are in no brackets and no string.
func topLevel(text string) (parts []string) {
	depth, begin, inString := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case c == ',' && depth == 0:
			parts, begin = append(parts, text[begin:i]), i+2
		}
	}
	if begin < len(text) {
		parts = append(parts, text[begin:])
	}
	return parts
}

// column is what the patterns of a line depend on beside its own words.
type column struct {
	// dir is the container's directory; id its id, rootfs its root.
	dir, id, rootfs string
	// cgroup matches the path of the one that the lines are about, above that of
	// the one above.
	cgroup, above string
	// waits: init waits for start.
	waits bool
	// withAbove: what was made above the cgroup is removed too.
	withAbove bool
	// notifies: a service manager hears of the container.
	notifies bool
	// hooks are those of config.json by "kind[index]": what execve is given.
	hooks map[string][]string
}

// q is a text as a pattern.
func q(s string) string { return regexp.QuoteMeta(s) }

// Parts of patterns.
const (
	memfd  = `*pwrite64\(</memfd:homerun>`
	pipe   = `<pipe:\[\d+\]>`
	socket = `<socket:\[\d+\]>`
	forked = `clone3?\(.*CLONE_VM.*SIGCHLD` // by package spawn, or by Go's with CLONE_VFORK
	// What package os finds out about pidfds, once.
	triesPidfd = `*clone\(.*flags=CLONE_VM\|CLONE_PIDFD\|CLONE_VFORK, `
	number     = `\d+`
)

// askSystemd is what says who makes cgroups, and how a connection begins.
const askSystemd = `*(?:connect\(` + socket + `, \{sa_family=AF_UNIX, sun_path="(?:/proc/self/fd/\d+|[^"]*/(?:bus|private|system_bus_socket))"` +
	`|sendmsg\(` + socket + `, .*iov_base="\\0AUTH EXTERNAL\b` +
	`|(?:Hello|Get|GetUnit|GetUnitByPID|AddMatch|RemoveMatch)\()`

// compilesFilter is what a filter takes on which the plan depends.
const compilesFilter = `*(?:clone\(.*flags=CLONE_VM\|CLONE_PIDFD\|CLONE_VFORK, |` + forked + `|execve\("[^"]*/homerun-seccomp", \["homerun-seccomp"|write\(` + pipe +
	`|(?:mkdirat|openat|write|renameat|unlinkat)\([<"][^">]*/homerun[^/">]*-seccomp[/">])`

// bindsNotify makes the socket for the container's program.
const bindsNotify = `*(?:bind\(` + socket + `, \{sa_family=AF_UNIX, sun_path="/proc/self/fd/\d+/notify\.sock"|fchmodat\("[^"]*/notify/notify\.sock", 0777)`

// table has for each verb of the runtime's column which calls it stands for, in
// their order.
var table = map[string]func(c *column, a []string) []string{
	// The state root, and what is in the container's directory.
	"record":      (*column).record,
	"open":        (*column).open,
	"fchmod":      func(c *column, a []string) []string { return []string{`fchmod\(<` + q(c.dir) + `>, ` + a[1] + `\)`} },
	"rename":      (*column).rename,
	"mkfifo":      (*column).mkfifo,
	"write-files": (*column).writeFiles,
	// The stage.
	"start-stage": func(_ *column, a []string) []string {
		return []string{memfd, forked, `execve\("/proc/self/fd/\d+", \["` + q(a[0]) + `"\], \[\]\)`}
	},
	"homerun-seccomp": func(*column, []string) []string {
		return []string{triesPidfd, forked, `execve\("[^"]*/homerun-seccomp", \["homerun-seccomp"`, `*write\(` + pipe,
			`*(?:mkdirat|openat|write|renameat|unlinkat)\([<"][^">]*/homerun[^/">]*-seccomp[/">]`}
	},
	"compile-rest":  func(*column, []string) []string { return []string{memfd} },
	"await":         func(*column, []string) []string { return []string{`?read\(` + pipe + `, ".+", 8\)`} },
	"answer":        (*column).answer,
	"await-program": (*column).awaitProgram,
	"write-map": func(_ *column, a []string) []string {
		return []string{`write\(</proc/\d+/` + a[0] + `>, ` + q(strconv.Quote(a[1]))}
	},
	"newuidmap": mapHelper, "newgidmap": mapHelper,
	"await-end": func(*column, []string) []string { return nil }, // calls that only wait are not compared
	"prctl":     func(_ *column, a []string) []string { return []string{`prctl\(` + a[0] + `, ` + a[1] + `\b`} },
	// The cgroup.
	"mkdir":    (*column).mkdir,
	"evacuate": (*column).evacuate,
	"write":    (*column).write,
	"prove": func(c *column, a []string) []string {
		file := `\(<` + c.file(a[0]) + `>, "` + q(a[1])
		return []string{`(?:read` + file + `\\n"|write` + file + `")`}
	},
	"enable": func(c *column, a []string) []string {
		value := ""
		for _, name := range strings.Fields(a[1]) {
			value += `\+` + name + ` `
		}
		if value == "" { // nothing that it could not do without
			return []string{`?write\(<` + c.file(a[0]) + `>, "\+[a-z+ ]*"`}
		}
		return []string{`write\(<` + c.file(a[0]) + `>, "` + strings.TrimSuffix(value, " ") + `(?: \+[a-z]+)*"`}
	},
	"chown": func(c *column, a []string) []string {
		to := `, ` + a[1] + `, ` + a[2]
		return []string{`*fchownat\("` + c.cgroup + `/[a-z.]+"` + to + `, AT_SYMLINK_NOFOLLOW`, `?fchown\(<` + c.cgroup + `>` + to}
	},
	"bpf": func(_ *column, a []string) []string {
		if a[0] == "BPF_PROG_LOAD" {
			n, _, _ := strings.Cut(a[1], " ")
			return []string{`bpf\(BPF_PROG_LOAD, .*insn_cnt=` + n + `\b`}
		}
		return []string{`*bpf\(BPF_PROG_QUERY`, `bpf\(` + a[0]}
	},
	"StartTransientUnit": startTransientUnit,
	"await-scope": func(c *column, a []string) []string {
		c.cgroup = `[^>"]*/` + q(a[0])
		return []string{`read\(</proc/\d+/cgroup>, "[^"]*/` + q(a[0]) + `\\n"`}
	},
	"AttachProcessesToUnit": func(*column, []string) []string { return []string{askSystemd, `AttachProcessesToUnit\(`} },
	// Sockets.
	"connect": func(_ *column, a []string) []string {
		if !path.IsAbs(a[0]) {
			return []string{`connect\(` + socket + `, \{sa_family=AF_UNIX, sun_path="/proc/self/fd/\d+/` + q(a[0]) + `"`}
		}
		return []string{`connect\(` + socket + `, \{sa_family=AF_UNIX, sun_path="` + q(a[0]) + `"`}
	},
	"bind": func(_ *column, a []string) []string {
		if a[0] == "notify/notify.sock" {
			return []string{`connect\(` + socket + `.*/notify\.sock"`, bindsNotify}
		}
		return []string{`bind\(` + socket + `, \{sa_family=AF_UNIX, sun_path="/proc/self/fd/\d+/` + q(path.Base(a[0])) + `"`, `?listen\(` + socket}
	},
	"socketpair": func(*column, []string) []string { return []string{`socketpair\(AF_UNIX`} },
	"recvmsg":    func(*column, []string) []string { return []string{`recvmsg\(.*SCM_RIGHTS`} },
	"send-pidfd": func(*column, []string) []string { return []string{`sendmsg\(` + socket + `, .*SCM_RIGHTS`} },
	"send-listener": func(*column, []string) []string {
		return []string{`recvmsg\(` + socket + `.*SCM_RIGHTS`, `sendmsg\(` + socket + `, \{.*iov_base="\{\\"ociVersion\\".*SCM_RIGHTS`}
	},
	// What init waits for.
	"join-class": func(_ *column, a []string) []string {
		return []string{`write\(</sys/fs/resctrl/` + q(a[0]) + `/tasks>, "` + number + `"`}
	},
	"move-devices": func(*column, []string) []string {
		const message = `sendto\(` + socket + `, \[\{nlmsg_len=\d+, nlmsg_type=`
		return []string{`*` + message + `(?:0x12|RTM_GET)`, message + `RTM_NEWLINK.*IFLA_NET_NS_FD`, `?setns\(<net:`, `*` + message + `(?:0x1[0-3]|RTM_)`, `?setns\(<net:`}
	},
	"idmap": func(_ *column, a []string) []string {
		return []string{`openat\("[^"]*/ns/user", O_RDONLY`, `open_tree\([^,]*, "` + q(a[0]) + `"`, `mount_setattr\(`}
	},
	"copy": func(_ *column, a []string) []string {
		list := []string{`recvmsg\(.*SCM_RIGHTS`, `recvmsg\(.*SCM_RIGHTS`}
		if len(a) > 1 { // in the container's user namespace
			const copier = `execve\("/proc/self/fd/\d+", \["homerun: tmpcopyup"`
			return append(list, `recvmsg\(.*SCM_RIGHTS`, memfd, forked, copier, `setns\(`, copier)
		}
		const rest = `*(?:openat\("[a-z/]*", O_RDONLY|f(?:truncate|ch(?:own|mod)(?:at)?)\([<"]/(?:below(?:/file)?)?[>"])`
		return append(list, `mkdirat\("/below", 0700\)`, rest, `openat\("/below/file", O_WRONLY\|O_CREAT`, `(?:sendfile|copy_file_range|write)\(</below/file>`, rest)
	},
	"hook": (*column).hook,
	"homerun-net": func(*column, []string) []string {
		return []string{triesPidfd, forked, runsHelper.String()[1:]}
	},
	"await-network": func(*column, []string) []string { return []string{`read\(` + pipe + `, "\{\\"ok\\":true`} },
}

// wants are the calls that the lines stand for.
func (c *column) wants(lines []line) ([]want, error) {
	list := wants("to find out who makes cgroups", askSystemd)
	if slices.ContainsFunc(lines, func(l line) bool {
		return strings.Contains(l.Line, "send-listener(") || strings.Contains(l.Line, `bind("seccomp.sock")`)
	}) {
		list = append(list, wants("to find out whether the filter has a listener", compilesFilter)...)
	}
	if c.notifies { // start binds it before its steps
		list = append(list, wants("to find out whether a service manager listens", `*connect\(`+socket+`, \{sa_family=AF_UNIX, sun_path="[^"]*/notify\.sock"`, bindsNotify)...)
	}
	for i, l := range lines {
		for _, v := range verbs(l.Line) {
			patterns, ok := table[path.Base(v.name)]
			if !ok {
				return nil, fmt.Errorf("line %d, %s: the table does not have %q", i+1, l.Line, v.name)
			}
			of := fmt.Sprintf("line %d, %s", i+1, l.Line)
			if path.IsAbs(v.name) { // a program
				v.arguments = append(v.arguments, v.name)
			}
			added := wants(of, patterns(c, v.arguments)...)
			if strings.Contains(l.Line, "  // EINVAL") || strings.Contains(l.Line, "  // unless ") { // it may turn out so
				for i := range added {
					added[i].may = true
				}
			}
			list = append(list, added...)
		}
	}
	return list, nil
}

func (c *column) record(names []string) (list []string) {
	for _, name := range names {
		at := q(c.dir) + `/`
		switch name {
		case "init":
			list = append(list, `symlinkat\("[^"]*", "`+at+`init"\)`)
		case "state.json":
			temporary := at + `\.state\.json\.\d+`
			list = append(list, `openat\("`+temporary+`", O_WRONLY\|O_CREAT`, `write\(<`+temporary+`>, "\{`, `*write\(<`+temporary+`>`,
				`renameat\("`+temporary+`", "`+at+`state\.json"\)`)
		default: // config.json: at first in place, later beside it
			file := at + `(?:\.` + q(name) + `\.\d+|` + q(name) + `)`
			list = append(list, `openat\("`+file+`", O_WRONLY\|O_CREAT`, `write\(<`+file+`>, "`, `*write\(<`+file+`>`,
				`?renameat\("`+file+`", "`+at+q(name)+`"\)`)
		}
	}
	return list
}

// open is of a file of the container's directory, or of a namespace.
func (c *column) open(a []string) []string {
	name := a[0]
	if strings.HasSuffix(name, ".*") {
		return []string{`openat\("` + startOfPidFile(name) + `", O_WRONLY\|O_CREAT\|O_EXCL`}
	}
	if !path.IsAbs(name) {
		name = c.dir + "/" + name
	}
	flags := strings.ReplaceAll(a[1], "|", `[\w|]*\|`)
	return []string{`*write\(</memfd:homerun-net>, "\{`, `openat\("` + q(name) + `", ` + flags, `?fchmod\(<` + q(name) + `>, 0644\)`}
}

// rename gives the pid file, which was made beside it, its name.
func (c *column) rename(a []string) []string {
	beside := startOfPidFile(path.Dir(a[0]) + "/." + path.Base(a[0]) + ".*")
	return []string{`?write\(<` + beside + `>, "\d+"`, `renameat\("` + beside + `", "` + q(a[0]) + `"\)`}
}

// startOfPidFile matches the name that a pid file has at first.
func startOfPidFile(name string) string { return q(strings.TrimSuffix(name, "*")) + `[0-9a-f]{16}` }

func (c *column) mkfifo(names []string) (list []string) {
	for _, name := range names {
		list = append(list, `mknodat\("`+q(c.dir+"/"+name)+`", S_IFIFO\|0600\)`)
	}
	return list
}

func (c *column) writeFiles(names []string) (list []string) {
	for _, name := range names {
		list = append(list, `openat\("`+q(c.dir+"/"+name)+`", O_WRONLY[\w|]*\|O_TRUNC`, `?write\(<`+q(c.dir+"/"+name)+`>, "`)
	}
	return list
}

func (c *column) answer(a []string) []string {
	if awaited, _, _ := strings.Cut(a[0], " "); awaited != "start" {
		return []string{`write\(` + pipe + `, "\\0", 1\)`}
	}
	return []string{`openat\("` + q(c.dir) + `/outcome", O_RDONLY`, `openat\("` + q(c.dir) + `/start", O_WRONLY\|O_NONBLOCK`,
		`write\(<` + q(c.dir) + `/start>, "\\0", 1\)`}
}

func (c *column) awaitProgram([]string) []string {
	if !c.waits {
		return []string{`read\(` + pipe + `, "", 8\)`}
	}
	return []string{`read\(<` + q(c.dir) + `/outcome>, "", 8\)`, `unlinkat\("` + q(c.dir) + `/start", 0\)`, `unlinkat\("` + q(c.dir) + `/outcome", 0\)`}
}

// mapHelper is newuidmap and newgidmap, which stand last in the arguments.
func mapHelper(_ *column, a []string) []string {
	argv := `"` + q(a[1]) + `", "\d+"`
	for _, f := range strings.Fields(a[0]) {
		argv += `, "` + f + `"`
	}
	return []string{forked, `execve\("` + q(a[1]) + `", \[` + argv + `\], \[\]\)`}
}

// mkdir makes the container's directory, a cgroup, or one below the one at hand.
func (c *column) mkdir(a []string) []string {
	name, mode := a[0], a[1]
	switch {
	case name == "notify":
		return []string{`mkdirat\("` + q(c.dir) + `/notify", 0` + `[0-7]+\)`, `?fchmod(?:at)?\([<"]` + q(c.dir) + `/notify[>"], ` + mode}
	case mode == "01700":
		c.dir = name
		return []string{`?mkdirat\("` + q(path.Dir(name)) + `", 0700\)`, `mkdirat\("` + q(name) + `", 01700\)`}
	case path.IsAbs(name):
		c.cgroup = q(name)
		above := []string{}
		for at := path.Dir(name); at != "/"; at = path.Dir(at) {
			above = append(above, q(at))
		}
		any := `(?:` + strings.Join(above, "|") + `)`
		return []string{`*(?:mkdirat\("` + any + `", 0755\)|write\(<` + any + `/cgroup\.subtree_control>, "[+a-z ]*")`,
			`mkdirat\("` + c.cgroup + `", 0755\)`}
	}
	c.above, c.cgroup = c.cgroup, c.cgroup+`/`+q(name)
	return []string{`mkdirat\("` + c.cgroup + `", ` + mode + `\)`}
}

func (c *column) evacuate(a []string) []string {
	leaf := q(a[0] + "/" + a[1])
	return []string{`?mkdirat\("` + leaf + `", 0755\)`, `*write\(<` + leaf + `/cgroup\.procs>, "\d+"`}
}

// write is of a limit, of init into a cgroup, or of init into a new pid file.
func (c *column) write(a []string) []string {
	file, value := a[0], `"`+q(a[1])+`"`
	if a[1] == "$init" {
		value = `"\d+"`
	}
	switch {
	case path.IsAbs(file):
		file = startOfPidFile(file)
		return []string{`openat\("` + file + `", O_WRONLY\|O_CREAT\|O_EXCL`, `write\(<` + file + `>, ` + value}
	case strings.HasSuffix(file, "/cgroup.procs"):
		return []string{`write\(<` + c.above + `/` + q(file) + `>, ` + value}
	}
	return []string{`write\(<` + c.file(file) + `>, ` + value}
}

// file is one of the cgroup that the lines are about, or of the one above it.
func (c *column) file(name string) string {
	if above, ok := strings.CutPrefix(name, "../"); ok {
		return c.above + `/` + q(above)
	}
	return c.cgroup + `/` + q(name)
}

// startTransientUnit is one message with these properties and no other, in which
// init stands last, and the description names it.
func startTransientUnit(_ *column, a []string) []string {
	text := `StartTransientUnit\("` + q(a[0]) + `"`
	for _, property := range a[1:] {
		if property == "PIDs=[$init]" {
			continue
		}
		text += `, ` + q(property)
		if strings.HasPrefix(property, "Description=") {
			text += ` \(init \d+, started at \d+\)`
		}
	}
	return []string{`?Hello\(\)`, `?AddMatch\(.*` + q(a[0]), text + `, (?:PIDs|PIDFDs)=\[` + number + `\]\)`}
}

// hook is run by a stage of its own, which joins the container's namespaces for a
// hook that runs in them.
func (c *column) hook(a []string) []string {
	list := []string{memfd, forked, `execve\("/proc/self/fd/\d+", \["homerun: exec ` + q(c.id) + `"\], \[\]\)`}
	if slices.Contains(a, "in the container") {
		list = append(list, `setns\(`, `?setns\(`) // the cgroup namespace after that
	}
	argv := []string{}
	for _, s := range c.hooks[a[0]] {
		argv = append(argv, q(strconv.Quote(s)))
	}
	return append(list, `execve\("`+q(a[1])+`", \[`+strings.Join(argv, ", ")+`\]`, `write\(`+pipe+`, "\{\\"ociVersion\\"`)
}

// ending are the calls by which `run` undoes what the lines did, last first, when
// the program has ended; then come the last hooks.
func (c *column) ending(lines []line) []want {
	var list []want
	if c.cgroup != "" {
		list = wants("kill what is left", `*write\(<`+c.cgroup+`/cgroup\.kill>, "1"`)
	}
	for _, l := range slices.Backward(lines) {
		what, name := "", ""
		if i := strings.IndexByte(l.Undo, '/'); i >= 0 {
			what, name = l.Undo[:i], l.Undo[i:]
			name, _, c.withAbove = strings.Cut(name, ", and those above")
		} else if what = l.Undo; strings.HasPrefix(what, "stop the scope ") {
			what, name = "stop the scope ", what[len("stop the scope "):]
		}
		list = append(list, wants("undo: "+l.Undo, undoing[what](c, name)...)...)
	}
	for i := 0; c.hooks[fmt.Sprintf("poststop[%d]", i)] != nil; i++ {
		name := fmt.Sprintf("poststop[%d]", i)
		list = append(list, wants(name, c.hook([]string{name, c.hooks[name+" path"][0]})...)...)
	}
	return list
}

// undoing is the table for that.
var undoing = map[string]func(c *column, name string) []string{
	"":               func(*column, string) []string { return nil },
	"kill the stage": func(*column, string) []string { return nil }, // it has ended
	"remove the directory ": func(_ *column, name string) []string {
		return []string{`*unlinkat\("` + q(name) + `/[^"]+", (?:0|AT_REMOVEDIR)\)`, `unlinkat\("` + q(name) + `", AT_REMOVEDIR\)`}
	},
	"remove the cgroup ": func(c *column, name string) []string {
		above := []string{}
		for at := path.Dir(name); c.withAbove && at != "/"; at = path.Dir(at) {
			above = append(above, `*unlinkat\("`+q(at)+`", AT_REMOVEDIR\)`)
		}
		return append([]string{`*(?:write\(<` + q(name) + `/(?:[^>]*/)?cgroup\.kill>, "1"|unlinkat\("` + q(name) + `/[^"]*", AT_REMOVEDIR\))`,
			`unlinkat\("` + q(name) + `", AT_REMOVEDIR\)`}, above...)
	},
	"stop the scope ": func(_ *column, name string) []string { // systemd does, when it is empty
		return []string{`*write\(<[^>]*/` + q(name) + `/(?:[^>]*/)?cgroup\.kill>, "1"`, askSystemd, `?StopUnit\("` + q(name) + `"`}
	},
	"remove the class, if it was made": func(*column, string) []string { return nil },
	"end homerun-net": func(c *column, _ string) []string {
		return []string{`*(?:connect|sendto|sendmsg|write)\(` + socket, `*pidfd_send_signal\(`, `*unlinkat\("` + q(c.dir) + `/`}
	},
	"remove what was made in the root": func(c *column, _ string) []string { return []string{`*unlinkat\("` + q(c.rootfs) + `/`} },
}
