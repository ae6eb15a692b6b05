package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/plain"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groups are the headings under which run's flags stand, in this order, with those
// that stand there. A flag that none names stands under the first, or if it goes with
// --rootfs under the second.
var groups = [...]struct{ title, flags string }{
	{"Flags", ""},
	{"With --rootfs", ""},
	{"With --rootfs, files", " volume mount tmpfs device read-only writable here home overlay shm-size "},
	{"With --rootfs, network", " net network publish dns add-host "},
	{"With --rootfs, limits", " memory memory-swap memory-reservation cpus cpu-shares cpuset-cpus cpuset-mems pids-limit ulimit "},
	{"With --rootfs, who and with what rights", " user group-add cap-add cap-drop security-opt as-root userns pid ipc uts sysctl "},
}

// groupOf is the heading of a flag.
func groupOf(f *pflag.Flag) int {
	for i, g := range groups {
		if strings.Contains(g.flags, " "+f.Name+" ") {
			return i
		}
	}
	if strings.HasPrefix(f.Usage, withRootfs) {
		return 1
	}
	return 0
}

// underHeadings are a command's own flags under their headings, without the words that the
// heading has already.
func underHeadings(flags *pflag.FlagSet) []*pflag.FlagSet {
	sets := make([]*pflag.FlagSet, len(groups))
	for i := range sets {
		sets[i] = pflag.NewFlagSet("", pflag.ContinueOnError)
	}
	flags.VisitAll(func(f *pflag.Flag) {
		own := *f
		own.Usage = strings.TrimPrefix(f.Usage, withRootfs)
		sets[groupOf(f)].AddFlag(&own)
	})
	return sets
}

// runUsage is the help text of run.
func runUsage(c *cobra.Command) error {
	w := c.OutOrStderr()
	fmt.Fprintf(w, "Usage:\n  %s\n\nExamples:\n%s\n", c.UseLine(), c.Example)
	for i, set := range append(underHeadings(c.LocalFlags()), c.InheritedFlags()) {
		title := "Global flags"
		if i < len(groups) {
			title = groups[i].title
		}
		if set.HasAvailableFlags() {
			fmt.Fprintf(w, "\n%s:\n%s", title, set.FlagUsages())
		}
	}
	return nil
}

// elsewhere says of flags of docker's and podman's what there is in their place.
var elsewhere = [...]struct{ flags, text string }{
	{" privileged ", "--cap-add, --device and --security-opt give single rights"},
	{" restart ", "homerun unit --restart prints a systemd unit that starts it anew"},
	{" pull platform publish-all expose image-volume rmi ", "homerun has no images"},
	{" volumes-from volume-driver ", "homerun has no volumes: --volume binds a directory"},
	{" pod link network-alias ip mac-address ", "homerun has no networks of its own: --net ns:PATH joins another container's"},
	{" gpus ", "--device gives a device"},
	{" health-cmd health-interval health-retries health-timeout ", "homerun unit --watchdog has systemd watch it"},
	{" entrypoint ", "the program is the first word of the command"},
	{" cidfile ", "--name says the id, and --pid-file writes the process id"},
	{" cpu-quota cpu-period ", "--cpus says both"},
	{" uidmap gidmap subuidname subgidname ", "a bundle has it in config.json; --user and --as-root have all your subordinate ids"},
	{" attach sig-proxy detach-keys ", "the program has your terminal, input and output, and signals, unless --detach is there"},
	{" env-host http-proxy ", "--env NAME passes one on, and --env '*' all; proxies are there without"},
	{" cgroupns cgroups ", "the container has a cgroup namespace; --cgroup-manager says who makes cgroups"},
	{" umask tz ", "have the program begin in a shell: sh -c 'umask 077; ...', or --env TZ=..."},
	{" cgroup-parent ", "a bundle has linux.cgroupsPath"},
	{" oom-kill-disable memory-swappiness kernel-memory cpu-rt-period cpu-rt-runtime ", "only cgroup v1 has it"},
}

// flagError words an error about a flag: what is wrong, what may have been meant, and
// where the flags are listed.
func (o *options) flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var bad *pflag.InvalidValueError
	text := err.Error()
	if c.HasParent() {
		o.verb = c.Name()
	}
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() == "" {
			text += advice(c, name)
		}
	case errors.As(err, &bad):
		text = fmt.Sprintf("--%s %q: %s", bad.GetFlag().Name, bad.GetValue(), valueError(bad))
	}
	return fmt.Errorf("%s; see %s --help", text, c.CommandPath())
}

// advice names another flag for one that does not exist.
func advice(c *cobra.Command, name string) string {
	for _, e := range elsewhere {
		if slices.Contains([]string{"run", "unit", "update"}, c.Name()) && strings.Contains(e.flags, " "+name+" ") {
			return ": " + e.text
		}
	}
	if name == "json" && c.Flags().Lookup("format") != nil {
		return "; did you mean --format json?"
	}
	var near nearest
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			near.offer(name, f.Name)
		}
	})
	if near.name == nil {
		return ""
	}
	return "; did you mean --" + near.name[0] + "?"
}

// nearest is the word that is nearest to another of those that were offered, nil where
// none is near.
type nearest struct {
	name  []string
	least int
}

func (n *nearest) offer(typed, name string) {
	d := plain.Distance(typed, name)
	if strings.HasPrefix(name, typed) {
		d = 0
	}
	if d < len(typed)/3+2 && (n.name == nil || d < n.least) {
		n.name, n.least = []string{name}, d
	}
}

// valueError is why a value is none, without the names of Go's functions.
func valueError(e *pflag.InvalidValueError) string {
	var number *strconv.NumError
	switch {
	case !errors.As(e, &number):
		return e.Unwrap().Error()
	case e.GetFlag().Value.Type() == "bool":
		return "want true or false, or no value"
	case errors.Is(number, strconv.ErrRange):
		return "it is out of range"
	}
	return "want a whole number"
}
