package doctor

import (
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/plain"
)

// session reports whether the caller is somebody who logs in.
func (h *Host) session() bool { return h.Facts.UserNamespace.Initial && h.Facts.Process.UID != 0 }

// begin are the commands that make a session that stays, with its directory.
func (h *Host) begin() []string {
	return []string{"sudo loginctl enable-linger " + plain.ShellWord(h.login()), "sudo systemctl start " + h.service(), "export XDG_RUNTIME_DIR=" + h.Session.Usual}
}

// service is the unit of the user's service manager.
func (h *Host) service() string { return "user@" + strconv.Itoa(h.Facts.Process.UID) + ".service" }

func (h *Host) login() string {
	if name := h.Facts.Subordinate.Login; name != "" {
		return name
	}
	return strconv.Itoa(h.Facts.Process.UID)
}

func (h *Host) runtimeDirectory() Row {
	s := &h.Session
	if !h.session() {
		return Row{}
	}
	r := Row{State: Degraded, Consequence: "homerun takes " + s.Usual + ", but systemctl --user, podman and others do not find the session"}
	switch {
	case s.Given != "" && s.GivenErrno == "":
		return fine("XDG_RUNTIME_DIR is " + s.Given)
	case s.Given == "":
		r.Found = "XDG_RUNTIME_DIR is not set"
	case s.GivenErrno == "EPERM":
		r.Found = "XDG_RUNTIME_DIR, " + s.Given + ", belongs to somebody else, as after su or sudo"
	default:
		r.Found = "XDG_RUNTIME_DIR, " + s.Given + ", cannot be used: " + s.GivenErrno
	}
	if s.UsualErrno == "" {
		r.Fix = []string{"export XDG_RUNTIME_DIR=" + s.Usual}
		return r
	}
	r.Consequence = "containers' state lies in /tmp, and there is no service manager to limit them"
	h.withoutSession(&r)
	return r
}

// withoutSession is what helps where the user has none.
func (h *Host) withoutSession(r *Row) {
	if h.Session.Logind {
		r.Fix = h.begin()
		return
	}
	r.Advice = "a session is made by pam_systemd and systemd-logind, which do not run here"
}

func (h *Host) serviceManager() Row {
	m := &h.Manager
	switch {
	case m.Version > 0:
		return fine("systemd " + strconv.Itoa(m.Version) + " at " + m.Socket)
	case m.Socket != "":
		return fine("systemd at " + m.Socket)
	}
	r := Row{State: Missing, Found: "no service manager answers: " + m.Trouble, Consequence: "no limits (memory, pids, cpu), no statistics, and no freezing of containers"}
	switch {
	case h.Facts.Cgroup != nil && h.Facts.Cgroup.Delegation != nil && h.Facts.Cgroup.Delegation.Unit != "":
		r.State, r.Consequence = Degraded, "limits work, since this runs in a cgroup that was delegated to it; from elsewhere they do not"
	case m.Own || !h.session():
		r.Advice = "systemd is not process 1 here: start homerun in a cgroup that is delegated to it, with --cgroup-manager cgroupfs"
		return r
	}
	h.withoutSession(&r)
	if h.Session.Logind && h.Session.Linger {
		r.Fix = []string{"sudo systemctl restart " + h.service(), h.begin()[2]}
		r.Advice = "this ends what runs under the user's service manager"
	}
	return r
}

// bus is about the way to the service manager.
func (h *Host) bus() Row {
	m := &h.Manager
	if !h.session() || m.Socket == "" {
		return Row{}
	}
	if !strings.HasSuffix(m.Socket, "/systemd/private") {
		return fine(m.Socket)
	}
	r := Row{State: Degraded, Found: "no bus answers: " + m.Trouble,
		Consequence: "systemd is asked at its private socket, which takes longer and may go away; podman and others do not reach it at all"}
	if m.BusUnit == "" {
		h.Packages.install(&r, "dbus-user-session")
		r.Fix = append(r.Fix, "systemctl --user daemon-reload", "systemctl --user start dbus.socket")
		return r
	}
	r.Fix = []string{"systemctl --user stop dbus.service dbus.socket", "systemctl --user start dbus.socket"}
	r.Advice = "programs that are connected to the old bus lose it"
	return r
}

func (h *Host) linger() Row {
	switch {
	case !h.session():
		return Row{}
	case h.Session.Linger:
		return fine("on")
	}
	r := Row{State: Degraded, Found: "off", Consequence: "containers end when the user's last session does, and none starts at boot"}
	if h.Session.Logind {
		r.Fix = h.begin()[:2]
	} else {
		r.Advice = "there is no systemd-logind here to ask for it"
	}
	return r
}

func (h *Host) stateRoot() Row {
	r := h.Root
	row := Row{State: Missing, Consequence: "no container can be made; with each verb --root DIR names another state root"}
	self := h.Facts.Process.UID
	aside := []string{"sudo mv " + plain.ShellWord(r.Path) + " " + plain.ShellWord(r.Aside)}
	switch {
	case r.There && !r.Directory:
		row.Found, row.Fix = r.Path+" is not a directory", aside
	case r.There && r.Owner != self:
		row.Found, row.Fix = r.Path+" belongs to user "+strconv.Itoa(r.Owner)+", and what is in it is not trusted", aside
		row.Advice = "what is moved away may be somebody's containers"
	case r.There && r.Mode&0o022 != 0:
		row.Found, row.Fix = r.Path+" can be written by others (mode 0"+strconv.FormatUint(uint64(r.Mode), 8)+"), so what is in it is not trusted",
			[]string{"chmod go-w " + plain.ShellWord(r.Path)}
	case r.There && r.Mode&0o700 != 0o700:
		row.Found, row.Fix = r.Path+" is closed to its owner (mode 0"+strconv.FormatUint(uint64(r.Mode), 8)+")", []string{"chmod u+rwx " + plain.ShellWord(r.Path)}
	case r.Full:
		row.Found, row.Advice = "the file system at "+r.Mount+", which "+r.Path+" is on, is full", "remove something there: df "+plain.ShellWord(r.Mount)+"; df -i "+plain.ShellWord(r.Mount)
	case r.Errno != "" && r.Given:
		row.Found, row.Advice = r.Path+" cannot be made or written: "+r.Errno, "name a directory of your own after --root"
	case r.Errno != "":
		row.Found = r.Path + " cannot be made or written: " + r.Errno
		row.Fix = []string{`export XDG_RUNTIME_DIR="$HOME/.cache/homerun-run"`, `mkdir -p -m 700 "$XDG_RUNTIME_DIR"`}
	default:
		return fine(r.Path)
	}
	return row
}
