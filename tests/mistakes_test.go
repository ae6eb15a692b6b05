package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mistake is a command line that people type, and the words that its answer has to
// have: in the first line, which says all, and below it, where advice is.
type mistake struct {
	args  string
	line  []string
	below []string
}

// mistakes are about run and its flags. "|" parts the words of a command line.
func mistakes() []mistake {
	long := strings.Repeat("a", 80)
	return []mistake{
		// What is docker's or podman's, and taken.
		{"run|--rootfs|/|--rm|-i|--memory|10x|true", []string{`run`, `--memory "10x": it is not a size: want bytes, or a number with b, k, m, g, t or p, as 512m`}, nil},
		{"run|--rootfs|/|-it|--user|no-such-user|true", []string{`--user: user "no-such-user": no such entry in the container's /etc`}, nil},

		// Flags that do not exist.
		{"run|--rootfs|/|--nme|x|true", []string{"run: unknown flag: --nme", "did you mean --name?", "see homerun run --help"}, nil},
		{"run|--nme|x", []string{"run: unknown flag: --nme", "did you mean --name?", "see homerun run --help"}, nil},
		{"run|--rootfs|/|-Z|true", []string{"run: unknown shorthand flag: 'Z' in -Z", "see homerun run --help"}, nil},
		{"run|--rootfs|/|--privileged|true", []string{"unknown flag: --privileged", "--cap-add, --device and --security-opt", "see homerun run --help"}, nil},
		{"run|--rootfs|/|--restart=always|true", []string{"unknown flag: --restart", "homerun unit --restart prints a systemd unit that starts it anew"}, nil},
		{"stop|-t|-2|x", []string{"stop x: --time -2: want whole seconds, or -1 to wait for ever"}, nil},
		{"stop|-t|-1|x", []string{`container "x" does not exist`}, nil},
		{"kill|--sginal|TERM|x", []string{"kill: unknown flag: --sginal", "see homerun kill --help"}, nil},
		{"run|--preserve-fds|x|web", []string{`run: --preserve-fds "x": want a whole number; see homerun run --help`}, nil},
		{"run|--rootfs|/|--here=perhaps|true", []string{`run: --here "perhaps": want true or false, or no value; see homerun run --help`}, nil},
		{"unit|web|--rootfs|/|--watchdog|abc|true", []string{`unit: --watchdog "abc": want a whole number; see homerun unit --help`}, nil},
		{"unit|web|--rootfs|/|--nme|x|true", []string{"unit: unknown flag: --nme; did you mean --name?; see homerun unit --help"}, nil},
		{"unit|web|--rootfs|/|--privileged|true", []string{"unit: unknown flag: --privileged: --cap-add, --device"}, nil},
		{"list|--json", []string{"list: unknown flag: --json; did you mean --format json?; see homerun list --help"}, nil},
		{"runn|--rootfs|/|sh", []string{`unknown command "runn"; did you mean "run"?`}, nil},
		{"images", []string{`unknown command "images": homerun has no images`}, nil},

		// No bundle, and none meant.
		{"run|bash", []string{"run bash: config.json of bundle", "no such file or directory"}, []string{"hint: to run a command on your own files", "homerun run --rootfs / -- bash"}},
		{"run|ls -la", []string{"config.json of bundle"}, []string{"homerun run --rootfs / -- 'ls -la'"}},
		{"run|ubuntu|bash", []string{"run: want one argument: the container's id"}, []string{"homerun has no images", "homerun run --rootfs / -- bash"}},
		{"run|sh|-c|id", []string{"run: want one argument: the container's id"}, []string{"homerun run --rootfs / -- sh -c id"}},
		{"run|/|sh", []string{"run: want one argument: the container's id"}, []string{"homerun run --rootfs / -- sh"}},
		{"run", []string{"run: want one argument: the container's id"}, []string{"homerun run --rootfs / -- sh"}},
		{"run|--root|/|--|sh", []string{"run sh: config.json of bundle"}, []string{"--root is where state is kept", "homerun run --rootfs / -- sh"}},
		{"run|--memory|1g|web", []string{"run: --memory goes with --rootfs; a bundle has it in config.json"}, nil},
		{"run|-it|ubuntu", []string{"run: --tty goes with --rootfs"}, []string{"homerun has no images", "homerun run --rootfs / [FLAGS] -- sh"}},
		{"run|-it|--rm|-v|.:/src|alpine|sh|-c|id", []string{"run: --volume goes with --rootfs"}, []string{"homerun has no images", "homerun run --rootfs / [FLAGS] -- sh -c id"}},
		{"run|--here|sh", []string{"run: --here goes with --rootfs"}, []string{"to run a command on your own files", "homerun run --rootfs / [FLAGS] -- sh"}},

		{"plan", []string{"plan: config.json of bundle"}, []string{"to run a command on your own files", "homerun plan --rootfs / -- sh"}},
		{"unit|web", []string{"unit web: config.json of bundle"}, []string{"to run a command on your own files", "homerun unit web --rootfs / -- COMMAND"}},
		{"run|\u2014rootfs|/|--|sh", []string{"run: want one argument: the container's id"}, []string{"\u2014rootfs begins with a dash of print: type two hyphens, --rootfs"}},
		{"run|true|--rootfs|/", []string{"run: want one argument: the container's id"}, []string{"flags come before the command: homerun run --rootfs DIR [FLAGS] -- true"}},

		// Values of flags.
		{"run|--rootfs|/|--pid-file|/nope/p|true", []string{"write the pid file /nope/p: no such file or directory"}, nil},
		{"run|--rootfs|/|--dns|nope|true", []string{`--dns "nope": not an IP address`}, nil},
		{"run|--rootfs|/|--add-host|foo|true", []string{`--add-host "foo": want NAME:IP or NAME:host-gateway`}, nil},
		{"run|--rootfs|/|-p|8080|true", []string{`-p "8080": no host port`}, []string{"8080:80"}},
		{"run|--rootfs|/|-p|8080:99999|true", []string{`-p "8080:99999"`}, nil},
		{"run|--rootfs|/|-p|8080:80|--net|none|true", []string{"ports cannot be published with --net none"}, nil},
		{"run|--rootfs|/|-m|64m|--memory-swap|32m|true", []string{`--memory-swap "32m"`, "want at least what --memory says"}, nil},
		{"run|--rootfs|/|--cpu-quota|5000|true", []string{"unknown flag: --cpu-quota: --cpus says both"}, nil},
		{"run|--rootfs|/|--uidmap|0:0:1|true", []string{"unknown flag: --uidmap: a bundle has it in config.json"}, nil},
		{"run|--rootfs|/|--userns|auto:size=9|true", []string{`--userns "auto:size=9": homerun keeps no account of which ids are taken`}, nil},
		{"run|--rootfs|/|--userns|keep-id:uid=5|true", []string{`--userns "keep-id:uid=5": you have your own id in it, and no other: want keep-id alone`}, nil},
		{"run|--rootfs|/|--userns|bogus|true", []string{`--userns "bogus": want keep-id, private or, as root, host`}, nil},
		{"run|--rootfs|/|--uts|host|-h|box|true", []string{"run: --uts host leaves the container the host's name, and --hostname gives it another: leave one out"}, nil},
		{"run|--rootfs|/|--security-opt|label=type:x|true", []string{`--security-opt "label=type:x": want seccomp=unconfined`}, nil},
		{"run|--rootfs|/|--mount|type=bind,src=/etc,dst=/mnt,noexec=1|true", []string{"noexec: it has no value"}, nil},
		{"run|--rootfs|/|--mount|type=bind,src=/etc,dst=/mnt,U|true", []string{"U: homerun changes no owners; chown does"}, nil},
		{"run|--rootfs|/|--mount|type=image,src=x,dst=/mnt|true", []string{"homerun has no images: want type=bind"}, nil},
		{"kill|nope|FOO", []string{`kill nope: unknown signal "FOO"`}, nil},
		{"exec|nope|true", []string{`exec nope: container "nope" does not exist`}, nil},
		{"list|-f|yaml", []string{`list: unknown format "yaml": want brief, table or json`}, nil},
		{"list|--log-format|x", []string{`unknown --log-format "x": want text or json`}, nil},
		{"list|--log-level|x", []string{`unknown --log-level "x": want error, warn, info, debug or trace`}, nil},
		{"list|--cgroup-manager|x", []string{"unknown cgroup manager x: want auto, systemd, cgroupfs or disabled"}, nil},
		{"--root|/nope|list", []string{"list: the state root /nope does not exist"}, nil},
		{"--root|/etc|list", []string{"list: the state root /etc belongs to user 0"}, nil},
		{"update|nope|--memory|1g1", []string{`update nope: --memory: "1g1" is not a size: want bytes`}, nil},
		{"update|nope|--cpus|x", []string{`update nope: --cpus "x": want a number of CPUs`}, nil},
		{"update|nope|--restart|always", []string{"update: unknown flag: --restart: homerun unit --restart"}, nil},
		{"plan|--facts|/etc/passwd|--rootfs|/", []string{"plan: read the facts /etc/passwd: want what plan --json prints"}, nil},

		// Words too many, and verbs of others.
		{"list|extra", []string{`list: unexpected argument "extra"; see homerun list --help`}, nil},
		{"spec|x", []string{`spec: unexpected argument "x"; see homerun spec --help`}, nil},
		{"help|runn", []string{`unknown command "runn"; did you mean "run"?`}, nil},
		{"info", []string{`unknown command "info": doctor says what this machine can do`}, nil},
		{"attach|web", []string{`unknown command "attach": logs -f shows what it writes`}, nil},
		{"run|--rootfs|/|--entrypoint|sh|true", []string{"unknown flag: --entrypoint: the program is the first word of the command"}, nil},
		{"run|--rootfs|/|--overlay=|true", []string{"run: --overlay= is empty: want a directory that keeps the changes"}, nil},

		// Roots that are none.
		{"run|--rootfs||sh", []string{"run: --rootfs is empty: want a directory that holds a system, or / for the host's own"}, nil},
		{"run|--rootfs|docker.io/library/alpine|sh", []string{"(--rootfs docker.io/library/alpine): no such file or directory"},
			[]string{"homerun has no images", "podman export $(podman create docker.io/library/alpine)"}},
		{"run|--rootfs|debian.tar|sh", []string{"(--rootfs debian.tar): not a directory"}, []string{"unpack it into a directory", "tar -x -C DIR -f debian.tar"}},
		{"run|--rootfs|/no/where|sh", []string{"(--rootfs /no/where): no such file or directory"}, []string{"hint: want a directory that holds a system"}},
		{"run|--rootfs|./nowhere|sh", []string{"(--rootfs ./nowhere): no such file or directory"}, []string{"--rootfs / is the host's own"}},
		{"run|--rootfs|empty|sh", []string{`executable file "sh" not found in $PATH`}, []string{"empty holds no system: it has neither bin nor usr/bin"}},
		{"run|--rootfs|closed|sh", []string{"--rootfs closed: you may not enter it: permission denied"}, []string{"want a directory that holds a system"}},
		{"run|--rootfs|/proc|sh", []string{"--rootfs /proc: it is a file system of the kernel's, which holds no system"}, []string{"want a directory that holds a system"}},

		{"run|--rootfs=~/debian|sh", []string{`run: --rootfs "~/debian": ~ is for the shell, which leaves it alone here: want $HOME`}, nil},
		{"run|--rootfs|/|--overlay=~/changes|true", []string{`run: --overlay "~/changes": ~ is for the shell`}, nil},
		{"run|--rootfs|/|--env-file=~/env|true", []string{`run: --env-file "~/env": ~ is for the shell`}, nil},
		{"run|--rootfs|/|--pid-file=~/pid|true", []string{`run: --pid-file "~/pid": ~ is for the shell`}, nil},

		// Values of variables that are not set.
		{"run|--rootfs|/|--net||true", []string{"run: --net is empty: want a value, or leave it out"}, nil},
		{"run|--rootfs|/|--home||true", []string{"run: --home is empty: want a value, or leave it out"}, nil},
		{"run|--rootfs|/|-w||true", []string{"run: --workdir is empty: want a value, or leave it out"}, nil},
		{"run|--rootfs|/|--pid-file||true", []string{"run: --pid-file is empty"}, nil},
		{"run|--rootfs|/|--ipc||true", []string{`--ipc "": want private or host`}, nil},

		// Names.
		{"run|--rootfs|/|--name||true", []string{"run: --name is empty: want the container's id, or leave it out"}, nil},
		{"run|--rootfs|/|--name|a b|true", []string{`invalid container id "a b": want letters, digits`}, nil},
		{"run|--rootfs|/|--replace|true", []string{"run: --replace needs --name"}, nil},
		{"run|--rootfs|/|--hostname|a b c|true", []string{`run: --hostname "a b c": want letters, digits, - and . alone`}, nil},
		{"run|--rootfs|/|--hostname|" + long + "|true", []string{`run: --hostname "` + long + `": it is longer than 64 bytes`}, nil},

		// Directories and mounts.
		{"run|--rootfs|/|-w|usr|true", []string{`--workdir usr: expected an absolute path, found "usr"`}, nil},
		{"run|--rootfs|/|-w|/nope|true", []string{"--workdir /nope: there is no such directory in the container"}, []string{"name one that is there"}},
		{"run|--rootfs|/|-w|/etc/passwd|true", []string{"/etc/passwd (--workdir /etc/passwd): not a directory"}, nil},
		{"run|--rootfs|/|-v|nope:/mnt|true", []string{"mount nope on /mnt (--volume nope:/mnt): source: no such file or directory"},
			[]string{"a relative source counts from the current directory; homerun has no volumes with names"}},
		{"run|--rootfs|/|-v|~/x:/mnt|true", []string{`--volume "~/x:/mnt": ~ is for the shell`, "want $HOME"}, nil},
		{"run|--rootfs|/|-v|/a|true", []string{`volume "/a": want SOURCE:DESTINATION[:OPTIONS]`}, nil},
		{"run|--rootfs|/|-v|..:ro,Z|true", []string{`volume "..:ro,Z": want SOURCE:DESTINATION[:OPTIONS] with an absolute destination`}, nil},
		{"run|--rootfs|/|-v|..:Z|true", []string{`volume "..:Z": want SOURCE:DESTINATION[:OPTIONS] with an absolute destination`}, nil},
		{"run|--rootfs|/|-v|..:/mnt:zz|true", []string{"(--volume ..:/mnt:zz)", `unknown mount option "zz"`}, nil},
		{"run|--rootfs|/|-v|..:/new|true", []string{"mount .. on /new (--volume ..:/new): the mount point is missing"}, []string{"below /tmp or /run"}},
		{"run|--rootfs|/|-v|.:/|true", []string{`--volume ".:/": / is the root itself, which --rootfs says`}, nil},
		{"run|--rootfs|/|--tmpfs|/|true", []string{`--tmpfs "/": / is the root itself, which --rootfs says`}, nil},
		{"run|--rootfs|/|-v|.:/mnt|-v|..:/mnt/|true", []string{`--volume "..:/mnt/": /mnt has a mount by --volume ".:/mnt": leave one out`}, nil},
		{"run|--rootfs|/|--tmpfs|/mnt:size=lots|true", []string{"mount tmpfs on /mnt (--tmpfs /mnt:size=lots): unknown mount option, or a bad value"}, nil},
		{"run|--rootfs|/|--mount|type=bind,src=/nope,dst=/mnt|true", []string{"mount /nope on /mnt (--mount type=bind,src=/nope,dst=/mnt): source: no such file"}, nil},
		{"run|--rootfs|/|--net|ns:/nope|true", []string{"join the network namespace /nope (--net ns:/nope): no such file or directory"}, nil},
		{"run|--rootfs|/|--network|bridge|true", []string{`"bridge": unknown network`}, []string{"one of none, host, pasta, slirp4netns, ns:PATH"}},

		// Flags that say nothing, or contradict each other.
		{"run|--rootfs|/|-e|=x|true", []string{"--env: want NAME=VALUE, or NAME for the value that it has here"}, nil},
		{"run|--rootfs|/|-d|-t|true", []string{"run: -t with -d gives the program a terminal that nobody has"}, nil},
		{"run|--rootfs|/|--rm|--keep|true", []string{"run: --rm removes the container when its program ends, and --keep keeps it"}, nil},
		{"run|--rootfs|/|-b|empty|true", []string{"run: --rootfs runs without a bundle, so --bundle and --config have no place there"}, nil},
		{"run|--rootfs|/|--read-only|--writable|true", []string{"run: --read-only and --writable contradict each other"}, nil},
		{"run|--rootfs|/|--security-opt||true", []string{`--security-opt "": want seccomp=unconfined, seccomp=FILE`}, nil},
		{"run|--rootfs|/|--security-opt|seccomp=/dev/zero|true", []string{`--security-opt "seccomp=/dev/zero": it is larger than 16 MiB`}, nil},
		{"run|--rootfs|/|--env-file|/dev/zero|true", []string{"--env-file: read /dev/zero: it is larger than 16 MiB"}, nil},
		{"run|--rootfs|/|--security-opt|seccomp=/etc/passwd|true", []string{`--security-opt "seccomp=/etc/passwd": it is no seccomp profile in JSON: invalid character`}, nil},
		{"run|--rootfs|/|--stop-signal|FOO|true", []string{`--stop-signal "FOO": want a signal's name or number, as INT`}, nil},
		{"run|--rootfs|/|--ulimit|nofile=1:999999999999|true", []string{"(--ulimit nofile=1:999999999999): without CAP_SYS_RESOURCE on the host the hard limit cannot be raised above"}, nil},
		{"run|--rootfs|/|--ulimit|memlock=-1|true", []string{"(--ulimit memlock=-1): without CAP_SYS_RESOURCE on the host", "(asked: unlimited)"}, nil},
		{"run|--rootfs|/|--sysctl|kernel.msgmax=100|true", []string{"(--sysctl kernel.msgmax=100): permission denied"}, []string{"hint: root of the container alone may set it: --as-root"}},
		{"run|--rootfs|/|--init|--pids-limit|1|true", []string{"run: --init is a process beside the program, and --pids-limit 1 leaves it none"}, nil},
		{"run|--rootfs|/|--pids-limit|99999999999|true", []string{`--pids-limit "99999999999": the kernel counts to 4194304`}, nil},
		{"run|--rootfs|/|--sysctl|no.such=1|true", []string{"--sysctl no.such=1"}, nil},

		// Programs.
		{"run|--rootfs|/|ls -la", []string{`executable file "ls -la" not found in $PATH`}, []string{`"ls -la" is one word, blanks included`, `sh -c "ls -la"`}},
		{"run|--rootfs|/|cd", []string{`executable file "cd" not found in $PATH`}, []string{"cd is a shell's own command", "sh -c 'cd ...'"}},
		{"run|--rootfs|/|", []string{`executable file "" not found in $PATH`}, []string{"the command is an empty word"}},
		{"run|--rootfs|/|\u2013-here|true", []string{"executable file \"\u2013-here\" not found in $PATH"}, []string{"\u2013-here begins with a dash of print: type two hyphens, --here"}},
		{"run|--rootfs|/|./nope", []string{`executable file "./nope" not found (process.args): no such file`}, []string{"a name with / is no matter of PATH", "from the working directory, /"}},
		{"run|--rootfs|/|-v|.:/mnt|/mnt/script", []string{`exec "/mnt/script" (process.args): the file is there, but not the interpreter`}, []string{"hint: the program that its first line names"}},
		{"run|--rootfs|/|no-such", []string{`executable file "no-such" not found in $PATH`}, []string{"it is looked for in the container's PATH, /"}},
		{"run|--rootfs|root|only-here", []string{`executable file "only-here" not found in $PATH`}, []string{"yours has it as ", "/tools/only-here: --env PATH passes yours on"}},
	}
}

// TestMistakes: a message names the flag or the place, the cause, and the way out; what
// is said of a flag never names a place in a config.json that nobody wrote.
func TestMistakes(t *testing.T) {
	dir := filepath.Join(shared.dir, "mistakes")
	if _, err := os.Stat(shared.homerun); err != nil { // as in TestScripts
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"empty", "closed", "tools", "root/bin"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"debian.tar": 0o644, "tools/only-here": 0o755, "script": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/no/such\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	err := os.Chmod(filepath.Join(dir, "closed"), 0)
	if err == nil && os.Getuid() == 0 {
		err = exec.Command("chown", "-R", fmt.Sprint(shared.user.uid), dir).Run()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mistakes() {
		m.check(t, dir)
	}
}

func (m *mistake) check(t *testing.T, dir string) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	line := strings.Replace(m.args, "run|--rootfs", "run|-q|--rootfs", 1) // notes are not what this is about
	args := append([]string{"--debug"}, strings.Split(line, "|")...)
	cmd := exec.CommandContext(ctx, shared.homerun, args...)
	cmd.Dir = dir
	cmd.Env = []string{"XDG_RUNTIME_DIR=" + dir, "PATH=" + dir + "/tools:" + os.Getenv("PATH"), "HOME=" + shared.user.home}
	if os.Getuid() == 0 { // people are not
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(shared.user.uid), Gid: uint32(shared.user.gid)}}
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("%s: it ran: %s", m.args, out)
	}
	said, below := "", ""
	for text := range strings.SplitSeq(string(out), "\n") {
		switch {
		case said != "":
			below += text + "\n"
		case strings.HasPrefix(text, "homerun: ") && !strings.HasPrefix(text, "homerun: debug: "):
			said = text
		}
	}
	for _, want := range m.line {
		if !strings.Contains(said, want) {
			t.Errorf("%s: the line is %q, want %q", m.args, said, want)
		}
	}
	for _, want := range m.below {
		if !strings.Contains(below, want) {
			t.Errorf("%s: below it stands %q, want %q", m.args, below, want)
		}
	}
	for _, never := range []string{"mounts[", "1:1", "linux.", "strconv", "root.path"} {
		if strings.Contains(said, never) || strings.Contains(below, "hint: the rootfs of a bundle") {
			t.Errorf("%s: says %q: %s", m.args, never, out)
		}
	}
}
