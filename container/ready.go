package container

import "github.com/homerun-oci/homerun/systemd/notify"

// Ready says who tells the service manager (Options.NotifySocket) that a service is
// ready.
type Ready string

// Who does.
const (
	// ReadyByProgram: the program gets a socket, and what it says is passed on.
	ReadyByProgram Ready = "container"
	// ReadyAtStart: Run, when the program runs. The program gets no socket.
	ReadyAtStart Ready = "start"
	// ReadyIgnored: nobody.
	ReadyIgnored Ready = "ignore"
)

func (r Ready) isPrograms() bool { return r == "" || r == ReadyByProgram }

// tellReady is for a program that runs, and so what goes wrong is a warning. One that
// nobody will wait for is what the manager has to do with.
func (p *Process) tellReady(request *Request) {
	r := p.container.runtime
	if request.Ready != ReadyAtStart || r.options.NotifySocket == "" {
		return
	}
	main := 0
	if request.Detached {
		main = p.Pid
	}
	if err := notify.TellReady(r.options.NotifySocket, main); err != nil {
		r.warn("%v", err)
	}
}
