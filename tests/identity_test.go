package tests

import (
	"fmt"
	"strings"
	"testing"
)

// TestExecUser is the table of CVE-2026-30892: what is not exactly a number or
// a name of the container's is an error, never user 0.
func TestExecUser(t *testing.T) {
	w := newWorld(t, "user")
	w.must(t, "run", "-d", "-b", w.bundle(t, "c", "sleep 60"), "c")
	defer w.run(t, "delete", "-f", "c")
	for user, want := range map[string]string{
		"0": "0 0", "1": "1 0", "1:2": "1 2", "1000": "1000 0", "007": "7 0", "web": "1000 1000", "web:0": "1000 0", "root": "0 0",
		"0x1": "", "-1": "", "+1": "", "1 ": "", " 1": "", "1e3": "", "4294967295": "", "4294967296": "", "2147483648": "",
		"18446744073709551616": "", "nobody": "", ":": "", ":0": "", "1:": "", "1:-1": "", "1:4294967296": "", "1:2:3": "",
		"web\n": "", "2147483647": "",
	} {
		got, err := w.run(t, "exec", "-u", user, "c", "sh", "-c", "echo $(id -u) $(id -g)")
		if got = strings.TrimSpace(got); want != "" && got != want || want == "" && (err == nil || !strings.HasPrefix(got, "homerun: ")) {
			t.Errorf("-u %q: %v, %q, want %q", user, err, got, want)
		}
	}
}

// TestExecUserInHostileFiles: /etc/passwd is somebody else's and may be anything.
func TestExecUserInHostileFiles(t *testing.T) {
	w := newWorld(t, "user")
	const script = `cd /etc; case $0 in esac; while :; do sleep 1; done`
	tmpfs := `mounts+={"destination":"/etc","type":"tmpfs","source":"tmpfs"}`
	w.must(t, "run", "-d", "-b", w.bundle(t, "c", script, tmpfs), "c")
	defer w.run(t, "delete", "-f", "c")
	for name, make := range map[string]string{
		"missing":   "true",
		"fifo":      "mkfifo passwd",
		"directory": "mkdir passwd",
		"link out":  "ln -s /../../../../etc/passwd passwd",
		"loop":      "ln -s passwd passwd",
		"magic":     "ln -s /proc/self/exe passwd",
		"device":    "ln -s /dev/zero passwd",
		"large":     "head -c 2000000 /dev/zero | tr '\\0' x > passwd; echo; echo 'evil:x:0:0::/:' >> passwd",
		"large id":  "echo 'evil:x:4294967296:0::/:' > passwd",
		"no id":     "echo 'evil:x:::::' > passwd",
		"negative":  "echo 'evil:x:-1:0::/:' > passwd",
	} {
		w.must(t, "exec", "c", "sh", "-c", "cd /etc; rm -rf passwd; "+make)
		if got, err := w.run(t, "exec", "-u", "evil", "c", "id"); err == nil || !strings.Contains(got, `user "evil": `) {
			t.Errorf("%s: %v, %s", name, err, got)
		}
		got, err := w.run(t, "exec", "-e", "HOME=", "c", "sh", "-c", "echo $HOME")
		if err != nil || got != "/\n" {
			t.Errorf("%s: HOME: %v, %s", name, err, got)
		}
	}
}

// TestCapabilityAudit holds the five sets of every way to a process against
// what was asked for.
func TestCapabilityAudit(t *testing.T) {
	const caps = `process.capabilities={"bounding":["CAP_KILL","CAP_CHOWN"],"effective":["CAP_KILL"],"permitted":["CAP_KILL"],` +
		`"inheritable":[],"ambient":["CAP_KILL"]}`
	const warning = "homerun: warning: process.capabilities.ambient: can't raise ambient capability CAP_KILL: it is not both permitted and inheritable\n"
	// inheritable, permitted, effective, bounding, ambient; echo drops empty
	// ones, so none is shown as an empty word.
	const line = `awk '/^Cap/ { sub(/^0+/, "", $2); printf "%s/", $2 }' /proc/self/status`
	for _, w := range worlds(t) {
		for _, uid := range []string{"0", "1000"} {
			for _, nnp := range []string{"true", "false"} {
				maps := []string{"process.user.uid=" + uid, "process.noNewPrivileges=" + nnp, caps}
				if w.name == "root" {
					maps = append(maps, `linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`,
						`linux.gidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`)
				}
				id := fmt.Sprintf("c%s%s", uid, nnp)
				t.Run(w.name+"/"+id, func(t *testing.T) {
					// execve(2): root has permitted = bounding, without
					// no_new_privs; another user has nothing but ambient ones.
					sets, more := "/21/21/21//", "/2021/2021/2021//"
					if nnp == "true" {
						sets, more = "/20/20/21//", "/2020/2020/2021//"
					}
					if uid != "0" {
						sets, more = "///21//", "///2021//"
					}
					w.must(t, "run", "-d", "-b", w.bundle(t, id, "sleep 60", maps...), id)
					defer w.run(t, "delete", "-f", id)
					for _, c := range []struct {
						want string
						args []string
					}{{sets, []string{"exec", id}}, {more, []string{"exec", "--cap", "CAP_NET_RAW", id}},
						{more, []string{"exec", "-c", "net_raw", id}}} {
						if got := w.must(t, append(c.args, "sh", "-c", line)...); got != warning+c.want {
							t.Errorf("%q: %s, want %s", c.args, got, warning+c.want)
						}
					}
				})
			}
		}
	}
}

// TestExecAmbient: --cap reaches a program of another user than root where
// config.json has the capability in the inheritable set, and only there.
func TestExecAmbient(t *testing.T) {
	for _, w := range worlds(t) {
		for inheritable, want := range map[string]string{"CAP_KILL": "20", "CAP_CHOWN": ""} {
			id := "ambient-" + inheritable
			t.Run(w.name+"/"+id, func(t *testing.T) {
				edits := []string{"process.user.uid=1000",
					`process.capabilities={"bounding":["CAP_KILL","CAP_CHOWN"],"effective":[],"permitted":[],"inheritable":["` + inheritable + `"],"ambient":[]}`}
				if w.name == "root" {
					edits = append(edits, `linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`,
						`linux.gidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`)
				}
				w.must(t, "run", "-d", "-b", w.bundle(t, id, "sleep 60", edits...), id)
				defer w.run(t, "delete", "-f", id)
				const line = `awk '/^Cap(Amb|Eff)/ { sub(/^0+/, "", $2); printf "%s/", $2 }' /proc/self/status`
				if got := w.must(t, "exec", "--cap", "CAP_KILL", id, "sh", "-c", line); got != want+"/"+want+"/" {
					t.Errorf("effective and ambient: %s, want %s", got, want)
				}
			})
		}
	}
}
