package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/container"
	"github.com/spf13/cobra"
)

// statsFlags are those of stats.
type statsFlags struct {
	once, json bool
	interval   time.Duration
}

func newStatsCommand(o *options) *cobra.Command {
	f := &statsFlags{}
	c := &cobra.Command{
		Use:   "stats [--no-stream] [--json] [ID...]",
		Short: "Show what containers use: CPU, memory, processes, disk",
		Long: `Show what containers use, all that run or some, again each second until you stop it. CPU
is that since the line before, at first since the container's start, and 100% is one
processor. Where there is no limit, and nothing or nobody that counts, there is a "-".`,
		Example: `  homerun stats
  homerun stats --no-stream --json web`,
		Args: func(c *cobra.Command, args []string) error {
			if o.verb = "stats"; len(args) == 0 {
				return nil
			}
			return o.someIDs("stats")(c, args)
		},
		RunE: o.withRuntime(func(ctx context.Context, r *container.Runtime, args []string) error {
			return showStats(ctx, r, f, args)
		}),
	}
	c.Flags().BoolVar(&f.once, "no-stream", false, "once")
	c.Flags().BoolVar(&f.json, "json", false, "as JSON, one list a line")
	c.Flags().DurationVar(&f.interval, "interval", time.Second, "time between two")
	return c
}

func newTopCommand(o *options) *cobra.Command {
	c := newPsCommand(o)
	processes := c.RunE
	live := o.withRuntime(func(ctx context.Context, r *container.Runtime, _ []string) error {
		return showStats(ctx, r, &statsFlags{interval: time.Second}, nil)
	})
	c.Use, c.Short, c.Args = "top [ID [OPTION-OF-PS...]]", "Show what all containers use, again and again, or the processes of one", o.maybeID("top")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return processes(c, args)
		}
		return live(c, args)
	}
	return c
}

// usage is what a container uses: a line of the table.
type usage struct {
	ID string `json:"id"`
	// CPU is in percent of a processor.
	CPU    float64 `json:"cpuPercent"`
	Memory uint64  `json:"memory"`
	// MemoryLimit and ProcessLimit are 0 without one.
	MemoryLimit  uint64 `json:"memoryLimit"`
	Processes    uint64 `json:"processes"`
	ProcessLimit uint64 `json:"processLimit"`
	Read         uint64 `json:"read"`
	Written      uint64 `json:"written"`
	// Uncounted says that the container has no cgroup.
	Uncounted bool `json:"uncounted,omitempty"`

	total uint64 // of CPU time, in nanoseconds
	at    time.Time
}

// showStats shows the table again and again.
func showStats(ctx context.Context, r *container.Runtime, f *statsFlags, ids []string) error {
	if f.interval <= 0 {
		return errors.New("--interval must be more than 0")
	}
	for before := map[string]usage{}; ; {
		list, err := measure(r, ids, before)
		if err != nil {
			return err
		}
		if err := printStats(f, list); err != nil || f.once {
			return err
		}
		for _, u := range list {
			before[u.ID] = u
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(f.interval):
		}
	}
}

// measure measures containers that run: those named, or all.
func measure(r *container.Runtime, ids []string, before map[string]usage) (list []usage, err error) {
	one := func(c *container.Container) error {
		s, err := r.Stats(c.ID)
		switch {
		case errors.Is(err, container.ErrNotRunning) && len(ids) == 0:
			return nil
		case err != nil && !errors.Is(err, container.ErrNoCgroup):
			return err
		}
		last, seen := before[c.ID]
		if !seen {
			last.at = c.State.Created
		}
		list = append(list, newUsage(c.ID, s, last, time.Now()))
		return nil
	}
	if len(ids) == 0 {
		return list, r.List(one)
	}
	return list, inTurn(ids, func(id string) error {
		c, err := r.Peek(id)
		if err != nil {
			return err
		}
		defer c.Close()
		return one(c)
	})
}

// newUsage reads the stats of a container; nil where it has no cgroup.
func newUsage(id string, s *cgroupv2.Stats, last usage, now time.Time) usage {
	u := usage{ID: id, at: now}
	if s == nil {
		u.Uncounted = true
		return u
	}
	u.total, u.Memory, u.Processes, u.ProcessLimit = s.CPU.Usage.Total, s.Memory.Usage.Usage, s.Pids.Current, s.Pids.Limit
	if passed := now.Sub(last.at); passed > 0 && u.total >= last.total {
		u.CPU = math.Round(float64(u.total-last.total)/float64(passed)*10000) / 100
	}
	if s.Memory.Usage.Limit < math.MaxInt64 {
		u.MemoryLimit = s.Memory.Usage.Limit
	}
	for _, e := range s.Blkio.IoServiceBytesRecursive {
		switch e.Op {
		case "Read":
			u.Read += e.Value
		case "Write":
			u.Written += e.Value
		}
	}
	return u
}

func printStats(f *statsFlags, list []usage) error {
	if f.json {
		if list == nil {
			list = []usage{}
		}
		return json.NewEncoder(os.Stdout).Encode(list)
	}
	text := clearScreen
	if f.once || !isTerminal(1) {
		text = ""
	}
	if _, err := os.Stdout.WriteString(text); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 1, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tCPU %\tMEMORY\tLIMIT\tPIDS\tREAD\tWRITTEN")
	for _, u := range list {
		fmt.Fprintln(w, u.row())
	}
	return w.Flush()
}

// clearScreen goes to the upper left and removes what is there and below: ECMA-48, CUP
// and ED.
const clearScreen = "\x1b[H\x1b[J"

func (u usage) row() string {
	if u.Uncounted {
		return u.ID + "\t-\t-\t-\t-\t-\t-"
	}
	pids := strconv.FormatUint(u.Processes, 10)
	if u.ProcessLimit > 0 {
		pids += "/" + strconv.FormatUint(u.ProcessLimit, 10)
	}
	return fmt.Sprintf("%s\t%.1f\t%s\t%s\t%s\t%s\t%s", u.ID, u.CPU, bytesText(u.Memory), bytesText(u.MemoryLimit), pids, bytesText(u.Read), bytesText(u.Written))
}

// bytesText is a number of bytes for people, who see by "-" that there is none.
func bytesText(n uint64) string {
	units, v := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}, float64(n)
	i := 0
	for ; v >= 1000 && i < len(units)-1; i++ {
		v /= 1024
	}
	switch {
	case n == 0:
		return "-"
	case i == 0:
		return strconv.FormatUint(n, 10) + " B"
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + units[i]
}
