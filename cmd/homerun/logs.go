package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/container"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

func newLogsCommand(o *options) *cobra.Command {
	var follow, times bool
	var last int
	c := &cobra.Command{
		Use:   "logs [-f] [-n LINES] [-t] ID",
		Short: "Show what a detached container has written",
		Long: `Show what the program of run --detach has written: from the journal, where there is
one (journalctl CONTAINER_NAME=ID shows it too), or from a file of the container's, which
keeps the last 2 MB. What was redirected is not in it, unless run's --log-driver named one.`,
		Example: `  homerun logs web
  homerun logs -f -n 10 web`,
		Args: o.oneID("logs"),
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			how := container.LogOptions{Follow: follow, Times: times, Streams: container.OwnStreams()}
			if last >= 0 {
				how.Last = &last
			}
			return r.Logs(ctx, args[0], how)
		}),
	}
	flags := c.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on until the container ends")
	flags.IntVarP(&last, "tail", "n", -1, "only the last lines, so many")
	flags.BoolVarP(&times, "timestamps", "t", false, "put the time before each line")
	return c
}

// outputFlags say where the output of a detached program goes.
type outputFlags struct {
	driver  string
	options []string
}

// withDetach begins the help of flags that mean nothing without --detach.
const withDetach = "with --detach: "

func (f *outputFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.driver, "log-driver", "auto", withDetach+"where output is kept: journald, file, none, passthrough; auto is journald if you can read it")
	flags.Var((*repeated)(&f.options), "log-opt", withDetach+"max-size=SIZE is the most that a file has (default 2m)")
}

// streams are those of a detached program, and what keeps the rest of them. A driver that
// is named has both. Else what somebody has redirected stays: files, devices, sockets, and
// with a bundle pipes too, as runc's callers have it. A terminal goes away with who sits
// there.
func (f *outputFlags) streams(s container.Streams, bundle bool) (_ container.Streams, kept *container.Output, err error) {
	kept = &container.Output{}
	for _, option := range f.options {
		value, isSize := strings.CutPrefix(option, "max-size=")
		if kept.MaxSize, err = number(value, true); !isSize || err != nil || kept.MaxSize <= 0 {
			return s, nil, fmt.Errorf("--log-opt %s: want max-size=SIZE, as max-size=10m", option)
		}
	}
	if f.driver == "passthrough" {
		return s, nil, nil
	}
	if bundle && isTerminal(0) {
		s.In = nil
	}
	switch f.driver {
	case "none":
		s.Out, s.Err = nil, nil
		return s, nil, nil
	case "journald", "file", "k8s-file", "json-file", "local":
		s.Out, s.Err = nil, nil
		if kept.Driver = container.OutputFiles; f.driver == "journald" {
			kept.Driver = container.OutputJournal
		}
		return s, kept, nil
	case "auto", "":
	default:
		return s, nil, fmt.Errorf("unknown --log-driver %q: want auto, journald, file, none or passthrough", f.driver)
	}
	if !staysOpen(1, bundle) {
		s.Out = nil
	}
	if !staysOpen(2, bundle) {
		s.Err = nil
	}
	if s.Out != nil && s.Err != nil {
		return s, nil, nil
	}
	return s, kept, nil
}

// staysOpen reports whether a stream was redirected to something that stays.
func staysOpen(fd int, pipes bool) bool {
	var st unix.Stat_t
	if isTerminal(fd) || unix.Fstat(fd, &st) != nil {
		return false
	}
	return pipes || st.Mode&unix.S_IFMT != unix.S_IFIFO
}
