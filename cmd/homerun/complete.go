package main

import (
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/plan"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The scripts that generate-docs writes ask `homerun __complete WORDS...` what a word
// may become. Only then do the commands get what is here; a verb that runs does not.

// words says what the next word of a verb may be, given those before it.
type words func(o *options, have []string) []string

// completions adds to all commands what their words and flags may be.
func completions(root *cobra.Command, o *options) {
	for _, c := range root.Commands() {
		if c.Name() == "unit" {
			c.Flags().SetInterspersed(true) // its flags come after its name
		}
		c.ValidArgsFunction = func(_ *cobra.Command, have []string, typed string) ([]string, cobra.ShellCompDirective) {
			next := wordsOf(c.Name())
			if next == nil {
				return nil, cobra.ShellCompDirectiveDefault
			}
			list := next(o, have)
			if c.Name() == "kill" && len(have) == 1 {
				list = asTyped(list, typed)
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		}
		c.Flags().VisitAll(func(f *pflag.Flag) { completeFlag(c, f.Name) })
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { completeFlag(root, f.Name) })
}

// wordsOf finds a verb's words; nil is for the shell, which completes names of files.
func wordsOf(verb string) words {
	switch verb {
	case "start":
		return oneContainer(container.Created)
	case "resume":
		return oneContainer(container.Paused)
	case "pause", "port", "update", "mounts", "shell":
		return oneContainer(container.Running, container.Created, container.Paused)
	case "state", "events", "wait", "logs":
		return oneContainer()
	case "delete", "rm", "inspect", "stop", "stats":
		return severalContainers
	case "exec", "ps", "top":
		return firstContainer
	case "kill":
		return idAndSignal
	case "features", "list", "create", "doctor", "version":
		return nothing
	}
	return nil
}

func nothing(*options, []string) []string { return nil }

// oneContainer completes the id of a container that has one of these statuses, or any.
func oneContainer(status ...string) words {
	return func(o *options, have []string) []string {
		if len(have) > 0 {
			return nil
		}
		return ids(o, nil, status...)
	}
}

func severalContainers(o *options, have []string) []string { return ids(o, have) }

// firstContainer leaves what follows the id to its program.
func firstContainer(o *options, have []string) []string {
	if len(have) > 0 {
		return nil
	}
	return ids(o, nil, container.Running, container.Created, container.Paused)
}

func idAndSignal(o *options, have []string) []string {
	if len(have) == 1 {
		return signalNames()
	}
	return oneContainer(container.Running, container.Created, container.Paused)(o, have)
}

// ids lists containers, but those that stand there already. What comes after a tab is
// shown beside the id. What cannot be read is left out: nobody looks for a message.
func ids(o *options, but []string, status ...string) (list []string) {
	r, err := o.runtime()
	if err != nil {
		return nil
	}
	_ = eachState(r, func(s *container.OCIState) {
		wanted := len(status) == 0 || slices.Contains(status, s.Status)
		if wanted && !slices.Contains(but, s.ID) {
			list = append(list, s.ID+"\t"+s.Status+", "+plain.Text(s.Bundle))
		}
	})
	return list
}

func signalNames() (list []string) {
	for n := range unix.Signal(32) {
		if name, ok := strings.CutPrefix(unix.SignalName(n), "SIG"); ok {
			list = append(list, name)
		}
	}
	return list
}

// completeFlag says what a flag's value may be.
func completeFlag(c *cobra.Command, name string) {
	list, what := flagValues(name)
	if list == nil && what == cobra.ShellCompDirectiveDefault {
		return // the shell's names of files
	}
	_ = c.RegisterFlagCompletionFunc(name, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return asTyped(list, typed), what
	})
}

// asTyped has names of signals and capabilities begin as what is typed does.
func asTyped(list []string, typed string) []string {
	for _, prefix := range [...]string{"SIG", "CAP_"} {
		if !strings.HasPrefix(typed, prefix) || slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, typed) }) {
			continue
		}
		list = slices.Clone(list)
		for i := range list {
			list[i] = prefix + list[i]
		}
	}
	return list
}

// flagValues lists values; a directory's name is for the shell to find.
func flagValues(name string) ([]string, cobra.ShellCompDirective) {
	switch name {
	case "bundle", "root", "rootfs", "workdir", "cwd":
		return nil, cobra.ShellCompDirectiveFilterDirs
	case "cgroup-manager":
		return []string{"auto", "systemd", "cgroupfs", "disabled"}, cobra.ShellCompDirectiveNoFileComp
	case "log-format":
		return []string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp
	case "log-level":
		return []string{"error", "warning", "info", "debug", "trace"}, cobra.ShellCompDirectiveNoFileComp
	case "format":
		return []string{"table", "json", "brief"}, cobra.ShellCompDirectiveNoFileComp
	case "net", "network":
		return []string{"none", "host", "pasta", "slirp4netns", "ns:"}, cobra.ShellCompDirectiveNoFileComp
	case "signal", "stop-signal":
		return signalNames(), cobra.ShellCompDirectiveNoFileComp
	case "reload":
		return append(signalNames(), "none"), cobra.ShellCompDirectiveNoFileComp
	case "cap", "cap-add", "cap-drop":
		return capabilityNames(), cobra.ShellCompDirectiveNoFileComp
	case "pid", "ipc", "uts":
		return []string{"private", "host"}, cobra.ShellCompDirectiveNoFileComp
	case "userns":
		return []string{"keep-id", "private", "host"}, cobra.ShellCompDirectiveNoFileComp
	case "home":
		return []string{"ro", "rw"}, cobra.ShellCompDirectiveNoFileComp
	case "restart":
		return restarts(), cobra.ShellCompDirectiveNoFileComp
	case "log-driver":
		return []string{"auto", "journald", "file", "none", "passthrough"}, cobra.ShellCompDirectiveNoFileComp
	case "security-opt":
		return []string{"seccomp=unconfined", "no-new-privileges=false"}, cobra.ShellCompDirectiveNoFileComp
	case flagReady:
		return []string{"container", "start", "ignore"}, cobra.ShellCompDirectiveNoFileComp
	case "hostname", "env", "name", "user", "publish", "add-host", "dns", "memory", "cpus", "pids-limit", "interval":
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

func capabilityNames() []string {
	list := plan.Capabilities()
	for i, name := range list {
		list[i] = strings.TrimPrefix(name, "CAP_")
	}
	return list
}
