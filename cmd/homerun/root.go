package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// options are those before the verb, and what the verb leaves for main.
type options struct {
	root          string
	log           string
	logFormat     string
	logLevel      string
	debug         bool
	systemdCgroup bool
	cgroupManager string
	rootless      string

	// inherited are open files, for the program and for as long as this process
	// is there.
	inherited []*os.File
	// begun is when the verb began.
	begun   time.Time
	version bool
	// quiet has no notes; phases are run's.
	quiet  bool
	phases phases
	// plain leaves out flags that the command line does not need.
	plain bool

	// verb and id are for messages.
	verb, id string
	// warnings are those that the log does not have yet, warned all.
	warnings, warned []string
	// status is the exit status after success: the container's.
	status int
	// signaled is the signal that has ended a start.
	signaled syscall.Signal
}

// verb is a command and how to build it.
type verb struct {
	name  string
	build func(*options) *cobra.Command
}

// verbs lists all commands in the order of the help text.
func verbs() []verb {
	return []verb{
		{"create", newCreateCommand},
		{"start", newStartCommand},
		{"run", newRunCommand},
		{"exec", newExecCommand},
		{"state", newStateCommand},
		{"kill", newKillCommand},
		{"delete", newDeleteCommand},
		{"list", newListCommand},
		{"ps", newPsCommand},
		{"pause", newPauseCommand},
		{"resume", newResumeCommand},
		{"port", newPortCommand},
		{"wait", newWaitCommand},
		{"doctor", newDoctorCommand},
		{"lint", newLintCommand},
		{"generate-docs", newDocsCommand},
		{"update", newUpdateCommand},
		{"events", newEventsCommand},
		{"features", newFeaturesCommand},
		{"mounts", newMountsCommand},
		{"plan", newPlanCommand},
		{"spec", newSpecCommand},
		{"stop", newStopCommand},
		{"rm", newRmCommand},
		{"inspect", newInspectCommand},
		{"shell", newShellCommand},
		{"version", newVersionCommand},
		{"stats", newStatsCommand},
		{"top", newTopCommand},
		{"unit", newUnitCommand},
		{"logs", newLogsCommand},
	}
}

// newRootCommand builds the command tree: only the verb that args name, since
// building all of them costs more than most verbs' work; or all of them, for
// help, completion and mistakes.
func newRootCommand(o *options, args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "homerun",
		Short: "An OCI container runtime for people without root",
		Example: `  homerun run --rootfs / --here -- make    # a command, on this machine's files, with the current directory at hand
  homerun run -d --name web --rootfs / -p 8080:80 -- busybox httpd -f -p 80
  homerun list; homerun logs web; homerun rm -f web
  homerun doctor                           # whether this machine has all that it takes`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if o.version {
				_, err := fmt.Print(versionText())
				return err
			}
			return noVerb(c, args)
		},
	}
	// Cobra's own --version would need a template, and with it the linker could
	// leave out no method of anything.
	root.Flags().BoolVarP(&o.version, "version", "v", false, "print the version")
	root.SetFlagErrorFunc(o.flagError)
	root.CompletionOptions.HiddenDefaultCmd = true
	globalFlags(root.PersistentFlags(), o)
	all, name := verbs(), verbIn(root, args)
	if i := slices.IndexFunc(all, func(v verb) bool { return v.name == name }); i >= 0 {
		root.AddCommand(all[i].build(o))
		return root
	}
	for _, v := range all {
		root.AddCommand(v.build(o))
	}
	grouped(root)
	if strings.HasPrefix(name, cobra.ShellCompRequestCmd) {
		completions(root, o)
	}
	refuseUnknown(root, name)
	refuseUnknownTopic(root)
	return root
}

func globalFlags(f *pflag.FlagSet, o *options) {
	f.StringVar(&o.root, "root", "", "directory of the containers' state")
	f.StringVar(&o.log, "log", "", "file that receives errors, as well as standard error")
	f.StringVar(&o.logFormat, "log-format", "text", "format of the log: text or json")
	f.StringVar(&o.logLevel, "log-level", "warning", "least level that is logged: error, warn, info, debug, trace")
	f.BoolVar(&o.debug, "debug", false, "the same as --log-level debug")
	f.BoolVar(&o.systemdCgroup, "systemd-cgroup", false, "make cgroups through systemd")
	f.StringVar(&o.cgroupManager, "cgroup-manager", "auto", "who makes cgroups: auto, systemd, cgroupfs, disabled")
	f.StringVar(&o.rootless, "rootless", "auto", "accepted for other runtimes' callers; homerun finds out itself")
	f.String("criu", "", "accepted for other runtimes' callers")
	_ = f.MarkHidden("criu")
}

// specVersion is that of the OCI runtime specification.
const specVersion = "1.3.0"

// versionText is what --version prints. Callers take the version from the one
// line that has the word in it.
func versionText() string {
	text := "homerun version " + ownVersion() + "\n"
	if commit != "" {
		text += "commit: " + commit + "\n"
	}
	return text + "spec: " + specVersion + "\n"
}

// verbIn is the verb of a command line, or "".
func verbIn(root *cobra.Command, args []string) string {
	if i := verbIndex(root, args); i < len(args) {
		return args[i]
	}
	return ""
}

// verbIndex finds the verb: the first word that is no global flag and no global
// flag's value.
func verbIndex(root *cobra.Command, args []string) int {
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if !isFlag {
			return i
		}
		name = strings.TrimPrefix(name, "-")
		if f := root.PersistentFlags().Lookup(name); f != nil && f.NoOptDefVal == "" {
			i++
		}
	}
	return len(args)
}
