package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/userns"
)

// well is a host that lacks nothing, and its user.
func well() *Host {
	all := []string{"cpuset", "cpu", "io", "memory", "pids"}
	ids := []host.Range{{Start: 100000, Size: 65536}}
	h := &Host{
		Facts: &host.Facts{Process: host.Process{UID: 1000, GID: 1000}, UserNamespace: host.UserNamespace{Initial: true, OwnerUID: 1000},
			Subordinate: &host.Subordinate{UIDs: ids, GIDs: ids, NewUIDMap: "/usr/bin/newuidmap", NewGIDMap: "/usr/bin/newgidmap", Login: "dev"},
			Kernel:      host.Kernel{UserNamespaces: true, MaxUserNamespaces: 15000}, Cgroup: &host.Cgroup{Unified: true, MountPoint: "/sys/fs/cgroup"}},
		Release: "6.12", Homerun: "/usr/local/bin/homerun", Packages: Packages{Manager: "apt-get", Installed: []string{"uidmap"}},
		NewUIDMap: Setter{Gains: true, Mount: "/usr"}, NewGIDMap: Setter{Gains: true, Mount: "/usr"},
		Cgroups: Cgroups{Kernel: all, Delegated: all, Path: "/user.slice/u", Service: "user@1000.service"},
		Manager: Manager{Socket: "/run/user/1000/bus", Version: 257, BusUnit: "/usr/lib/systemd/user/dbus.socket"},
		Session: Session{Given: "/run/user/1000", Usual: "/run/user/1000", Linger: true, Logind: true},
		Network: Network{Pasta: Program{Path: "/usr/bin/pasta", Version: "pasta 0.1"}, Nsenter: Program{Path: "/usr/bin/nsenter"}, PingGroups: "0\t5", FirstPort: "1024"},
		Helpers: map[string]Helper{"homerun-net": {Path: "/n"}, "homerun-seccomp": {Path: "/s"}, "homerun-log": {Path: "/l"}},
		Root:    Root{Path: "/run/user/1000/homerun", There: true, Owner: 1000, Mode: 0o700, Directory: true, Aside: "/run/user/1000/homerun.not-mine"},
		Test:    Test{Done: true, Phases: []Phase{{"compile", 1}, {"program", 2}}}, Features: map[string]string{"mount_setattr": "", "openat2": "", "pidfd_open": ""},
	}
	for _, f := range features() {
		h.Features[f.Name] = ""
	}
	return h
}

func rowOf(rows []Row, name string) Row {
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Name == name })
	if i < 0 {
		return Row{}
	}
	return rows[i]
}

func TestNothingLacks(t *testing.T) {
	rows := Examine(well())
	if !Complete(rows) || len(rows) != len(checks()) {
		t.Errorf("%d rows of %d", len(rows), len(checks()))
	}
	for _, r := range rows {
		if r.State != OK || r.Found == "" || r.Consequence != "" || len(r.Fix) > 0 {
			t.Errorf("%+v", r)
		}
	}
	if test := rowOf(rows, "self-test"); test.Found != "a container ran true in 3.0 ms: compile 1.0, program 2.0" {
		t.Error(test.Found)
	}
}

// lack is a host with one thing wrong: the row, its state, and words of it; a fix begins
// with $.
type lack struct {
	row   string
	state State
	words string
	spoil func(*Host)
}

func lacks() map[string]lack {
	return map[string]lack{
		"kernel":                {"kernel", Missing, "boot Linux 5.14", func(h *Host) { h.Features["openat2"] = "ENOSYS" }},
		"kernel in a container": {"kernel", Missing, "seccomp=unconfined", func(h *Host) { h.Features["openat2"], h.Filtered = "EPERM", true }},
		"max 0":                 {"user-namespaces", Missing, "$sudo sysctl -p", func(h *Host) { h.Attempt.Errno, h.Facts.Kernel.MaxUserNamespaces = "ENOSPC", 0 }},
		"max 0, value":          {"user-namespaces", Missing, "$echo user.max_user_namespaces=28633 |", func(h *Host) { h.Attempt.Errno, h.Facts.Kernel.MaxUserNamespaces = "ENOSPC", 0 }},
		"debian's switch": {"user-namespaces", Missing, "$echo kernel.unprivileged_userns_clone=1 |", func(h *Host) {
			h.Attempt.Errno, h.Facts.Kernel.UserNamespaceRestricted = "EPERM", "kernel.unprivileged_userns_clone"
		}},
		"ubuntu's switch": {"user-namespaces", Missing, "$printf '%s' 'abi <abi/4.0>", func(h *Host) {
			h.Attempt.Mount, h.Facts.Kernel.UserNamespaceRestricted = "EACCES", "kernel.apparmor_restrict_unprivileged_userns"
		}},
		"selinux":      {"user-namespaces", Missing, "$sudo semodule -i homerun.pp", func(h *Host) { h.Attempt.Errno, h.SELinux = "EACCES", true }},
		"outer filter": {"user-namespaces", Missing, "seccomp=unconfined", func(h *Host) { h.Attempt.Errno, h.Filtered = "EPERM", true }},
		"chroot":       {"user-namespaces", Missing, "a chroot, a security module", func(h *Host) { h.Attempt.Errno = "EPERM" }},
		"not built":    {"user-namespaces", Missing, "CONFIG_USER_NS", func(h *Host) { h.Attempt.Errno = "EINVAL" }},
		"no mounts":    {"user-namespaces", Missing, "nothing mounted in it", func(h *Host) { h.Attempt.Mount = "EPERM" }},
		"memfd":        {"memfd", Degraded, "$echo vm.memfd_noexec=1 |", func(h *Host) { h.Memfd = "EACCES" }},
		"no memfd":     {"memfd", Missing, "boot", func(h *Host) { h.Memfd = "ENOSYS" }},
		"no uids":      {"subuid", Missing, "$sudo usermod --add-subuids 200000-265535 dev", func(h *Host) { h.Facts.Subordinate.UIDs, h.Facts.Subordinate.FreeUID = nil, 200000 }},
		"no gids":      {"subgid", Missing, "$sudo usermod --add-subgids 300000-365535 dev", func(h *Host) { h.Facts.Subordinate.GIDs, h.Facts.Subordinate.FreeGID = nil, 300000 }},
		"no name": {"subuid", Missing, "$echo 1000:200000:65536 | sudo tee -a /etc/subuid", func(h *Host) {
			h.Facts.Subordinate.UIDs, h.Facts.Subordinate.FreeUID, h.Facts.Subordinate.Login = nil, 200000, ""
		}},
		"bad line": {"subuid", Missing, "$sudo sed -i '3s/.*/dev:200000:65536/' /etc/subuid", func(h *Host) {
			h.Facts.Subordinate.UIDs, h.Facts.Subordinate.FreeUID, h.Facts.Subordinate.UIDLine = nil, 200000, 3
		}},
		"directory": {"subuid", Missing, "ask its administrator", func(h *Host) { h.Facts.Subordinate.UIDs, h.Facts.Subordinate.Source = nil, "getsubids (nsswitch: sss)" }},
		"more": {"subuid", Degraded, "$sudo usermod --add-subuids 200000-265535 dev", func(h *Host) {
			h.Facts.Subordinate.UIDs, h.Facts.Subordinate.FreeUID = []host.Range{{Start: 5, Size: 1000}}, 200000
		}},
		"no file, of a domain": {"subgid", Missing, `$printf '%s\n' 'DOM\nick:200000:65536' | sudo tee -a /etc/subgid`, func(h *Host) {
			h.Facts.Subordinate.GIDs, h.Facts.Subordinate.FreeGID, h.IDFiles = nil, 200000, map[userns.Kind]string{userns.GID: "ENOENT"}
			h.Facts.Subordinate.Login = `DOM\nick`
		}},
		"no file": {"subgid", Missing, "$echo dev:200000:65536 | sudo tee -a /etc/subgid", func(h *Host) {
			h.Facts.Subordinate.GIDs, h.Facts.Subordinate.FreeGID, h.IDFiles = nil, 200000, map[userns.Kind]string{userns.GID: "ENOENT"}
		}},
		"closed file": {"subuid", Missing, "$sudo chmod a+r /etc/subuid", func(h *Host) {
			h.Facts.Subordinate.UIDs, h.IDFiles = nil, map[userns.Kind]string{userns.UID: "EACCES"}
		}},
		"closed helper": {"newuidmap", Missing, "$sudo chmod 4755 /usr/bin/newuidmap", func(h *Host) {
			h.Facts.Subordinate.NewUIDMap, h.NewUIDMap.Closed = "", "/usr/bin/newuidmap"
		}},
		"no tun but its driver": {"tun", Missing, "$sudo mknod -m 666 /dev/net/tun c 10 200", func(h *Host) { h.Network.Tun, h.Network.TunDriver = "ENOENT", true }},
		"pasta does not run":    {"network-driver", Missing, "/usr/bin/pasta does not run: exit status 3", func(h *Host) { h.Network.Pasta.Trouble = "exit status 3" }},
		"pasta beside slirp": {"network-driver", Degraded, "without --net slirp4netns", func(h *Host) {
			h.Network.Pasta.Trouble, h.Network.Slirp.Path = "exit status 3", "/usr/bin/slirp4netns"
		}},
		"slirp does not run": {"network-driver", Degraded, "$sudo apt-get install -y slirp4netns", func(h *Host) {
			h.Network.Slirp = Program{Path: "/usr/bin/slirp4netns", Trouble: "exit status 3"}
		}},
		"foreign root again": {"state-root", Missing, "homerun.not-mine.2", func(h *Host) { h.Root.Owner, h.Root.Aside = 0, h.Root.Aside+".2" }},
		"shared": {"subuid", Degraded, "$sudo sed -i '2s/.*/dev:200000:65536/' /etc/subuid", func(h *Host) {
			h.Shared = map[userns.Kind]Shared{userns.UID: {userns.Grant{Line: 2, Owner: "dev"}, userns.Grant{Line: 3, Owner: "u\x1b1"}, 200000}}
		}},
		"shared, of many": {"subuid", Degraded, `$sudo sed -i '2s/.*/DOM\\dev:200000:1000000/' /etc/subuid`, func(h *Host) {
			own := userns.Grant{Line: 2, Owner: `DOM\dev`, Range: host.Range{Start: 100000, Size: 1000000}}
			h.Shared = map[userns.Kind]Shared{userns.UID: {own, userns.Grant{Line: 3, Owner: "eve"}, 200000}}
		}},
		"shared, no other ids": {"subgid", Degraded, "in line 4 some of these to eve", func(h *Host) {
			h.Shared = map[userns.Kind]Shared{userns.GID: {Other: userns.Grant{Line: 4, Owner: "eve"}}}
		}},
		"few":           {"subuid", Degraded, "1000 uids", func(h *Host) { h.Facts.Subordinate.UIDs = []host.Range{{Start: 5, Size: 1000}} }},
		"gone":          {"newuidmap", Missing, "$sudo apt-get install --reinstall -y uidmap", func(h *Host) { h.Facts.Subordinate.NewUIDMap = "" }},
		"not installed": {"newgidmap", Missing, "$sudo apt-get install -y uidmap", func(h *Host) { h.Facts.Subordinate.NewGIDMap, h.Packages.Installed = "", nil }},
		"fedora":        {"newgidmap", Missing, "$sudo dnf install -y shadow-utils", func(h *Host) { h.Facts.Subordinate.NewGIDMap, h.Packages = "", Packages{Manager: "dnf"} }},
		"fedora again": {"newgidmap", Missing, "$sudo dnf reinstall -y shadow-utils", func(h *Host) {
			h.Facts.Subordinate.NewGIDMap, h.Packages = "", Packages{"dnf", []string{"shadow-utils"}}
		}},
		"suse":         {"newgidmap", Missing, "$sudo zypper --non-interactive install --force shadow", func(h *Host) { h.Facts.Subordinate.NewGIDMap, h.Packages = "", Packages{Manager: "zypper"} }},
		"arch":         {"newgidmap", Missing, "$sudo pacman -S --noconfirm shadow", func(h *Host) { h.Facts.Subordinate.NewGIDMap, h.Packages = "", Packages{Manager: "pacman"} }},
		"alpine":       {"newgidmap", Missing, "$sudo apk add shadow-uidmap", func(h *Host) { h.Facts.Subordinate.NewGIDMap, h.Packages = "", Packages{Manager: "apk"} }},
		"other":        {"newgidmap", Missing, "package uidmap", func(h *Host) { h.Facts.Subordinate.NewGIDMap, h.Packages = "", Packages{} }},
		"not setuid":   {"newuidmap", Missing, "$sudo chmod u+s /usr/bin/newuidmap", func(h *Host) { h.NewUIDMap.Gains = false }},
		"nosuid":       {"newuidmap", Missing, "$sudo mount -o remount,suid /usr", func(h *Host) { h.NewUIDMap.Nosuid = true }},
		"no_new_privs": {"newuidmap", Missing, "no_new_privs is inherited", func(h *Host) { h.Facts.Process.NoNewPrivileges = true }},
		"bounding":     {"newuidmap", Missing, "CapabilityBoundingSet=", func(h *Host) { h.Facts.Subordinate.UIDTrouble = host.TroubleBounding }},
		"nobody":       {"newgidmap", Missing, "/etc/passwd", func(h *Host) { h.Facts.Subordinate.GIDTrouble = host.TroubleNobody }},
		"no XDG":       {"runtime-directory", Degraded, "$export XDG_RUNTIME_DIR=/run/user/1000", func(h *Host) { h.Session.Given, h.Session.GivenErrno = "", "ENOENT" }},
		"root's XDG":   {"runtime-directory", Degraded, "su or sudo", func(h *Host) { h.Session.Given, h.Session.GivenErrno = "/run/user/0", "EPERM" }},
		"XDG gone":     {"runtime-directory", Degraded, "cannot be used: ENOENT", func(h *Host) { h.Session.Given, h.Session.GivenErrno = "/x", "ENOENT" }},
		"no session":   {"runtime-directory", Degraded, "$sudo loginctl enable-linger dev", func(h *Host) { h.Session.Given, h.Session.GivenErrno, h.Session.UsualErrno = "", "ENOENT", "ENOENT" }},
		"no logind": {"runtime-directory", Degraded, "pam_systemd", func(h *Host) {
			h.Session.Given, h.Session.GivenErrno, h.Session.UsualErrno, h.Session.Logind = "", "ENOENT", "ENOENT", false
		}},
		"no manager": {"service-manager", Missing, "$sudo systemctl restart user@1000.service", func(h *Host) { h.Manager = Manager{Trouble: "ENOENT"} }},
		"nor linger": {"service-manager", Missing, "$sudo loginctl enable-linger dev", func(h *Host) { h.Manager, h.Session.Linger = Manager{Trouble: "ENOENT"}, false }},
		"delegated": {"service-manager", Degraded, "limits work", func(h *Host) {
			h.Manager, h.Facts.Cgroup.Delegation = Manager{Trouble: "ENOENT"}, &host.Delegation{Unit: "/x"}
		}},
		"no systemd":     {"service-manager", Missing, "--cgroup-manager cgroupfs", func(h *Host) { h.Manager = Manager{Trouble: "ENOENT", Own: true} }},
		"no bus":         {"bus", Degraded, "$systemctl --user start dbus.socket", func(h *Host) { h.Manager.Socket = "/run/user/1000/systemd/private" }},
		"bus, no unit":   {"bus", Degraded, "$sudo apt-get install -y dbus-user-session", func(h *Host) { h.Manager.Socket, h.Manager.BusUnit = "/run/user/1000/systemd/private", "" }},
		"linger":         {"linger", Degraded, "$sudo loginctl enable-linger dev", func(h *Host) { h.Session.Linger = false }},
		"linger, nobody": {"linger", Degraded, "systemd-logind", func(h *Host) { h.Session.Linger, h.Session.Logind = false, false }},
		"cgroup v1":      {"cgroup-v2", Missing, "unified_cgroup_hierarchy=1", func(h *Host) { h.Facts.Cgroup.Unified = false }},
		"no cgroup2":     {"cgroup-v2", Missing, "not mounted", func(h *Host) { h.Facts.Cgroup.MountPoint = "" }},
		"read-only":      {"cgroup-v2", Missing, "unmask=/sys/fs/cgroup", func(h *Host) { h.Facts.Cgroup.ReadOnly = true }},
		"no cpu":         {"controller-cpu", Missing, `$printf '[Service]\nDelegate=cpu cpuset io memory pids\n' | sudo tee /etc/systemd/system/user@.service.d/zz-homerun.conf`, func(h *Host) { h.Cgroups.Delegated = []string{"memory", "pids"} }},
		"no io":          {"controller-io", Degraded, "$sudo systemctl restart user@1000.service", func(h *Host) { h.Cgroups.Delegated = []string{"memory", "pids"} }},
		"root, no cpu":   {"controller-cpu", Missing, "subtree_control", func(h *Host) { h.Cgroups.Delegated, h.Cgroups.Service = nil, "" }},
		"no memory":      {"controller-memory", Degraded, "cgroup_enable=memory", func(h *Host) { h.Cgroups.Kernel, h.Cgroups.Delegated = nil, nil }},
		"memory is kept": {"controller-memory", Missing, "$sudo systemctl restart user@1000.service", func(h *Host) { h.Cgroups.Delegated = []string{"cpu", "pids"} }},
		"pids are kept":  {"controller-pids", Missing, "not delegated to user@1000.service", func(h *Host) { h.Cgroups.Delegated = []string{"cpu", "memory"} }},
		"tun":            {"tun", Missing, "$sudo chmod 0666 /dev/net/tun", func(h *Host) { h.Network.Tun = "EACCES" }},
		"no tun":         {"tun", Missing, "$sudo modprobe tun", func(h *Host) { h.Network.Tun = "ENOENT" }},
		"no udev":        {"tun", Missing, "$sudo chmod 0666 /dev/net/tun", func(h *Host) { h.Network.Tun = "ENOENT" }},
		"odd tun":        {"tun", Missing, "--device /dev/net/tun", func(h *Host) { h.Network.Tun = "EIO" }},
		"no driver":      {"network-driver", Missing, "$sudo apt-get install -y passt", func(h *Host) { h.Network.Pasta = Program{} }},
		"no nsenter":     {"nsenter", Missing, "$sudo apt-get install -y util-linux", func(h *Host) { h.Network.Nsenter = Program{} }},
		"no homerun-net": {"homerun-net", Missing, "$sudo make install PREFIX=/opt/h", func(h *Host) { h.Helpers["homerun-net"] = Helper{Places: []string{"/opt/h/bin/homerun-net", "/b"}} }},
		"elsewhere": {"homerun-seccomp", Missing, "$sudo install -D -m 755 /c/homerun-seccomp '/a b/homerun-seccomp'", func(h *Host) {
			h.Helpers["homerun-seccomp"] = Helper{Places: []string{"/a b/homerun-seccomp", "/b"}, Elsewhere: "/c/homerun-seccomp"}
		}},
		"no homerun-log":  {"homerun-log", Missing, "$sudo make install PREFIX=/opt/h", func(h *Host) { h.Helpers["homerun-log"] = Helper{Places: []string{"/opt/h/bin/homerun-log"}} }},
		"foreign root":    {"state-root", Missing, "$sudo mv /run/user/1000/homerun /run/user/1000/homerun.not-mine", func(h *Host) { h.Root.Owner = 0 }},
		"file":            {"state-root", Missing, "not a directory", func(h *Host) { h.Root.Directory = false }},
		"open root":       {"state-root", Missing, "$chmod go-w /run/user/1000/homerun", func(h *Host) { h.Root.Mode = 0o777 }},
		"group's root":    {"state-root", Missing, "$chmod go-w /run/user/1000/homerun", func(h *Host) { h.Root.Mode = 0o770 }},
		"closed root":     {"state-root", Missing, "$chmod u+rwx /run/user/1000/homerun", func(h *Host) { h.Root.Mode = 0o500 }},
		"full":            {"state-root", Missing, "the file system at /run/user/1000, which", func(h *Host) { h.Root.Full, h.Root.Mount = true, "/run/user/1000" }},
		"root is refused": {"state-root", Missing, `$export XDG_RUNTIME_DIR="$HOME/.cache/homerun-run"`, func(h *Host) { h.Root.Errno = "EROFS" }},
		"given root":      {"state-root", Missing, "after --root", func(h *Host) { h.Root.Errno, h.Root.Given = "EROFS", true }},
		"sandbox":         {"newuidmap", Missing, "run outside of that", func(h *Host) { h.NewUIDMap.Nosuid, h.Facts.UserNamespace.Initial = true, false }},
		"overlay":         {"overlay", Degraded, "Linux 5.11", func(h *Host) { h.Features["overlay"] = "EPERM" }},
		"clone3":          {"clone-into-cgroup", Degraded, "seccomp=unconfined", func(h *Host) { h.Features["clone-into-cgroup"], h.Filtered = "ENOSYS", true }},
		"test":            {"self-test", Missing, "run: no", func(h *Host) { h.Test.Trouble = "run: no" }},
	}
}

// TestLacks breaks one thing each, and wants nothing else to be called missing.
func TestLacks(t *testing.T) {
	for name, l := range lacks() {
		h := well()
		l.spoil(h)
		rows := Examine(h)
		r := rowOf(rows, l.row)
		text := r.Found + "\n" + r.Consequence + "\n" + r.Advice + "\n$" + strings.Join(r.Fix, "\n$")
		if r.State != l.state || r.Found == "" || r.Consequence == "" || len(r.Fix) == 0 && r.Advice == "" || !strings.Contains(text, l.words) {
			t.Errorf("%s: %+v", name, r)
		}
		if Complete(rows) != (l.state == Degraded) && l.row != "controller-io" {
			t.Errorf("%s: complete: %v", name, Complete(rows))
		}
	}
}

// TestFixes: all commands, in their order, where there are several.
func TestFixes(t *testing.T) {
	const restart = "sudo systemctl daemon-reload\nsudo systemctl restart user@1000.service"
	for name, want := range map[string]string{
		"max 0":           "echo user.max_user_namespaces=28633 | sudo tee -a /etc/sysctl.d/60-homerun.conf\nsudo sysctl -p /etc/sysctl.d/60-homerun.conf",
		"debian's switch": "echo kernel.unprivileged_userns_clone=1 | sudo tee -a /etc/sysctl.d/60-homerun.conf\nsudo sysctl -p /etc/sysctl.d/60-homerun.conf",
		"ubuntu's switch": "printf '%s' '" + userns.AppArmorProfile("/usr/local/bin/homerun") + "' | sudo tee /etc/apparmor.d/homerun\nsudo apparmor_parser -r /etc/apparmor.d/homerun",
		"selinux":         "sudo ausearch -m avc -c homerun --raw | audit2allow -M homerun\nsudo semodule -i homerun.pp",
		"not setuid":      "sudo chown root:root /usr/bin/newuidmap\nsudo chmod u+s /usr/bin/newuidmap",
		"no session":      "sudo loginctl enable-linger dev\nsudo systemctl start user@1000.service\nexport XDG_RUNTIME_DIR=/run/user/1000",
		"no manager":      "sudo systemctl restart user@1000.service\nexport XDG_RUNTIME_DIR=/run/user/1000",
		"linger":          "sudo loginctl enable-linger dev\nsudo systemctl start user@1000.service",
		"no bus":          "systemctl --user stop dbus.service dbus.socket\nsystemctl --user start dbus.socket",
		"bus, no unit":    "sudo apt-get install -y dbus-user-session\nsystemctl --user daemon-reload\nsystemctl --user start dbus.socket",
		"no cpu": "sudo mkdir -p /etc/systemd/system/user@.service.d\nprintf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | " +
			"sudo tee /etc/systemd/system/user@.service.d/zz-homerun.conf\n" + restart,
		"no tun":          "sudo modprobe tun\nsudo chmod 0666 /dev/net/tun\necho tun | sudo tee /etc/modules-load.d/60-homerun.conf",
		"root is refused": "export XDG_RUNTIME_DIR=\"$HOME/.cache/homerun-run\"\nmkdir -p -m 700 \"$XDG_RUNTIME_DIR\"",
	} {
		l, h := lacks()[name], well()
		l.spoil(h)
		if got := strings.Join(rowOf(Examine(h), l.row).Fix, "\n"); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
	}
}

// TestRoot: what a session has, root of the machine does not need, nor ids.
func TestRoot(t *testing.T) {
	h := well()
	h.Facts.Process.UID, h.Facts.Subordinate.UIDs, h.Facts.Subordinate.NewUIDMap, h.Session = 0, nil, "", Session{}
	h.Root.Owner = 0
	rows := Examine(h)
	for _, name := range []string{"subuid", "newuidmap", "linger", "runtime-directory", "bus"} {
		if r := rowOf(rows, name); r.State != "" {
			t.Errorf("%+v", r)
		}
	}
	if !Complete(rows) {
		t.Error("incomplete")
	}
}

// TestInformation: what is no lack says how to change it.
func TestInformation(t *testing.T) {
	h := well()
	h.Network.PingGroups = "1\t0"
	if r := rowOf(Examine(h), "ping"); r.State != OK || !strings.Contains(r.Advice, "ping_group_range") {
		t.Errorf("%+v", r)
	}
	h.Network.FirstPort = "0"
	if r := rowOf(Examine(h), "low-ports"); r.State != OK || r.Advice != "" {
		t.Errorf("%+v", r)
	}
}
