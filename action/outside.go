package action

import (
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/intelrdt"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/device"
)

// LockOverlay locks the directory that keeps an overlay's changes, for as long as the
// container has it: the input "overlay".
type LockOverlay struct{ Dir string }

// Line implements plan.Action.
func (a LockOverlay) Line() string {
	return "$overlay = " + line("open", quoted(a.Dir), "O_RDONLY|O_DIRECTORY") + ", " + line("flock", "$overlay", "LOCK_EX")
}

// MakeFile makes a file of the container's directory, which is mounted in the
// container.
type MakeFile struct{ Name string }

// Line implements plan.Action.
func (a MakeFile) Line() string {
	return line("open", quoted(a.Name), "O_WRONLY|O_CREAT|O_TRUNC", "0644")
}

// MakeNotifySocket makes the directory that is mounted in the container, and
// with Bind binds the socket in it at which the program reports to its service
// manager; else `start` does.
type MakeNotifySocket struct{ Bind bool }

// Line implements plan.Action.
func (a MakeNotifySocket) Line() string {
	text := line("mkdir", `"notify"`, "0755")
	if a.Bind {
		text += ", " + line("bind", `"notify/notify.sock"`)
	}
	return text
}

// MoveDevices moves network devices of the host into the container.
type MoveDevices struct{ List []device.Move }

// Line implements plan.Action.
func (a MoveDevices) Line() string {
	var list []string
	for _, m := range a.List {
		list = append(list, quoted(m.Host)+" as "+quoted(m.Container))
	}
	return line("move-devices", list...)
}

// JoinClass puts init into its class of the resctrl file system.
type JoinClass struct {
	Plan *intelrdt.Plan
	// Root is where that is mounted.
	Root string
}

// Line implements plan.Action.
func (a JoinClass) Line() string {
	record := line("record", `"state.json"`)
	return record + ", " + line("join-class", quoted(a.Plan.Class), quoted(strings.Join(a.Plan.Schemata, "; "))) + ", " + record
}

// StartNetwork starts the helper that connects the container's network namespace, and
// does not wait.
type StartNetwork struct {
	Connection *netns.Connection
	// Directory is the container's, in the state root.
	Directory string
}

// Line implements plan.Action.
func (a StartNetwork) Line() string {
	list := []string{string(a.Connection.Network.Mode)}
	for _, p := range a.Connection.Ports {
		list = append(list, p.String())
	}
	return line("open", `"net.log"`, "O_WRONLY|O_CREAT|O_APPEND", "0600") + ", " + line("homerun-net", list...)
}

// AwaitNetwork waits until the helper says that it has connected the container, and
// has published its ports.
type AwaitNetwork struct{ Connection *netns.Connection }

// Line implements plan.Action.
func (a AwaitNetwork) Line() string { return line("await-network") }

// WriteNetworkFiles writes resolv.conf and hosts, which are mounted in the container.
type WriteNetworkFiles struct {
	Connection *netns.Connection
	// Hostname is the container's.
	Hostname string
}

// Line implements plan.Action.
func (a WriteNetworkFiles) Line() string { return line("write-files", `"resolv.conf"`, `"hosts"`) }

// RunHook runs one hook of config.json.
type RunHook struct {
	// Kind is prestart, createRuntime and so on, Index its place in that list.
	Kind  string
	Index int
	Path  string
	// Status is the container's, as the hook reads it.
	Status string
	// Inside runs it in the container's namespaces; AsProgram with no more rights
	// than its program has.
	Inside, AsProgram bool
}

// Line implements plan.Action.
func (a RunHook) Line() string {
	list := []string{a.Kind + "[" + strconv.Itoa(a.Index) + "]", quoted(a.Path)}
	if a.Inside {
		list = append(list, "in the container")
	}
	if a.AsProgram {
		list = append(list, "as its program")
	}
	return line("hook", list...)
}

// Pointer is where in config.json the hook is.
func (a RunHook) Pointer() string { return "hooks." + a.Kind + "[" + strconv.Itoa(a.Index) + "]" }

// PassListener passes the seccomp listener on to the agent.
type PassListener struct{ Agent string }

// Line implements plan.Action.
func (a PassListener) Line() string { return line("send-listener", quoted(a.Agent)) }

// ConnectConsole connects to the socket that receives the terminal: the input
// "terminal". Without a path the runtime takes the terminal itself.
type ConnectConsole struct{ Socket string }

// Line implements plan.Action.
func (a ConnectConsole) Line() string {
	if a.Socket == "" {
		return line("socketpair")
	}
	return line("connect", quoted(a.Socket))
}

// ReceiveTerminal takes the terminal, which the stage has sent by now.
type ReceiveTerminal struct{}

// Line implements plan.Action.
func (a ReceiveTerminal) Line() string { return line("recvmsg", "$terminal") }

// ConnectPidfd connects to a socket that will receive the process's pidfd: one that
// is not there is found before anything runs.
type ConnectPidfd struct{ Socket string }

// Line implements plan.Action.
func (a ConnectPidfd) Line() string { return line("connect", quoted(a.Socket)) }

// SendPidfd sends the process's pidfd to a socket that is connected.
type SendPidfd struct{ Socket string }

// Line implements plan.Action.
func (a SendPidfd) Line() string { return line("send-pidfd", quoted(a.Socket)) }

// NamePidFile gives the pid file, which is written by now, its name.
type NamePidFile struct{ Path string }

// Line implements plan.Action.
func (a NamePidFile) Line() string { return line("rename", quoted(a.Path)) }

// Leave ends what `create` does; what follows is done by `start`.
type Leave struct{}

// Line implements plan.Action.
func (a Leave) Line() string { return "-- homerun start --" }

// ConnectAgent makes the sockets through which the seccomp listener comes, and
// connects to the agent that receives it. For a container whose init waits it makes
// the socket to which MeetAgent will connect.
type ConnectAgent struct {
	Agent string
	Waits bool
}

// Line implements plan.Action.
func (a ConnectAgent) Line() string {
	if a.Waits {
		return line("socketpair") + ", " + line("bind", `"seccomp.sock"`)
	}
	return line("socketpair") + ", " + line("connect", quoted(a.Agent)) + ", " + line("socketpair")
}

// MeetAgent connects to the agent, and to the process that waits beside init.
type MeetAgent struct{ Agent string }

// Line implements plan.Action.
func (a MeetAgent) Line() string {
	return line("connect", quoted(a.Agent)) + ", " + line("connect", `"seccomp.sock"`)
}

// OpenCopies makes the socket through which init gives what to copy.
type OpenCopies struct{}

// Line implements plan.Action.
func (a OpenCopies) Line() string { return line("socketpair") }
