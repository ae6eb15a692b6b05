package systemd

import (
	"fmt"
	"strings"
)

// Service is a container to be run as a user service.
type Service struct {
	// ID is the container's name, Bundle its directory (absolute, or starting
	// with a specifier such as %h).
	ID, Bundle string
	// Executable is homerun's own absolute path.
	Executable string
	// Arguments are further arguments of run, before the ID. None may have a
	// line break.
	Arguments []string
	// Payload is true when the container's program sends READY=1 itself.
	Payload bool
}

// GenerateUnit writes the unit file of a user service, for
// ~/.config/systemd/user/ID.service. The container runs inside of the
// service's own delegated cgroup, not in a scope: so stopping the service stops
// all of it, and a user manager accepts no main process from elsewhere. There
// are no hardening options: in a user manager they need a user namespace, in
// which newuidmap no longer works.
func GenerateUnit(s Service) (string, error) {
	for _, text := range append([]string{s.ID, s.Bundle, s.Executable}, s.Arguments...) {
		if text == "" || strings.ContainsAny(text, "\n\r\x00") {
			return "", fmt.Errorf("systemd: unit file: %q cannot be written into one", text)
		}
	}
	program, bundle, id := argument(percent(s.Executable)), argument(s.Bundle), argument(percent(s.ID))
	ready := "start"
	if s.Payload {
		ready = "payload"
	}
	run := []string{program, "--cgroup-manager=cgroupfs", "run", "--notify=" + ready, "--bundle", bundle}
	for _, a := range s.Arguments {
		run = append(run, argument(percent(a)))
	}
	run = append(run, id)
	return strings.NewReplacer(
		"@id@", percent(s.ID), "@bundle@", word(s.Bundle),
		"@run@", strings.Join(run, " "), "@homerun@", program, "@word@", id,
	).Replace(unitTemplate), nil
}

// percent keeps systemd from expanding specifiers.
func percent(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// argument is a word of a command line, where variables are expanded too.
func argument(s string) string { return word(strings.ReplaceAll(s, "$", "$$")) }

// word quotes what would be split or read as an escape.
func word(s string) string {
	if !strings.ContainsAny(s, " \t\"'\\;") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

const unitTemplate = `[Unit]
Description=homerun container @id@
Documentation=man:homerun-unit(7)
RequiresMountsFor=@bundle@

[Service]
# homerun says READY once the container's program runs (--notify=start), or passes on the program's own (payload)
Type=notify
# all notifications come from homerun's process
NotifyAccess=main
# the container's cgroup lies inside of this unit's; systemd before 254 ignores DelegateSubgroup
Delegate=yes
DelegateSubgroup=runtime
# SIGTERM to homerun, which forwards the stop signal; SIGKILL to all of the cgroup at the timeout
KillMode=mixed
ExecStart=@run@
ExecReload=@homerun@ kill @word@ HUP
ExecStopPost=-@homerun@ delete --force @word@
# a program that SIGTERM ended: run exits with 128+15
SuccessExitStatus=143
TimeoutStopSec=15
Restart=on-failure
SyslogIdentifier=%N

[Install]
WantedBy=default.target
`
