package compile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// meet does both sides of a plan as they would wait for each other, and returns what each
// side did in one list: the stage goes on as far as it can, then the runtime does one step.
// All answers but "start" are bytes of one pipe, which look alike: the stage must want them
// in the order in which they come.
func meet(p *plan.Plan) (both []any, err error) {
	var answers, starts []string
	at := 0
	goOn := func() error {
		for ; at < p.Len(); at++ {
			step := p.Step(at)
			from := &answers
			if step.Awaits == "start" {
				from = &starts
			}
			switch {
			case step.Awaits == "":
			case len(*from) == 0:
				return nil
			case (*from)[0] != step.Awaits:
				return fmt.Errorf("step %d awaits %s, and is given the answer %s", at+1, step.Awaits, (*from)[0])
			default:
				*from = (*from)[1:]
			}
			both = append(both, step)
		}
		return nil
	}
	started := false
	for i, step := range p.Runtime() {
		if started {
			if err := goOn(); err != nil {
				return both, err
			}
		}
		switch a := step.Action.(type) {
		case action.StartStage:
			started = true
		case plan.Await:
			if !slices.ContainsFunc(both, func(s any) bool { step, ok := s.(plan.Step); return ok && step.Signals == a.Signal }) {
				return both, fmt.Errorf("both sides wait: the runtime for the signal %s, the stage in step %d for the answer %s", a.Signal, at+1, p.Step(min(at, p.Len()-1)).Awaits)
			}
		case plan.Answer:
			if a.Awaited == "start" {
				starts = append(starts, a.Awaited)
			} else {
				answers = append(answers, a.Awaited)
			}
		}
		both = append(both, p.Runtime()[i].Action)
	}
	if err := goOn(); err != nil {
		return both, err
	}
	if at < p.Len() || len(answers)+len(starts) > 0 {
		return both, fmt.Errorf("the stage stays at step %d; answers that are left: %v", at+1, answers)
	}
	return both, nil
}

// moments numbers what matters of a plan, in the order in which it happens at the earliest.
func moments(both []any) map[string][]int {
	at := map[string][]int{}
	for i, s := range both {
		var name string
		switch s := s.(type) {
		case plan.Step:
			switch o := s.Op.(type) {
			case plan.Prctl:
				if o.Option == unix.PR_SET_DUMPABLE && o.Arg2 == 0 {
					name = "hide"
				}
			case plan.SchedSetaffinity:
				name = "its CPUs"
			case plan.Unshare:
				for flag, what := range map[int]string{unix.CLONE_NEWNET: "own network", unix.CLONE_NEWCGROUP: "own cgroup"} {
					if o.Flags == flag {
						name = what
					}
				}
			}
			if s.Awaits != "" {
				name = "awaits " + s.Awaits
			}
			if s.Signals != "" {
				name = "signals " + s.Signals
			}
		case plan.Answer:
			name = "answer " + s.Awaited
		case action.Record:
			if name = "record"; s.Complete {
				name = "record all"
			}
		case plan.Await:
			name = "await " + s.Signal
		default:
			name = strings.TrimPrefix(fmt.Sprintf("%T", s), "action.")
		}
		if name != "" {
			at[name] = append(at[name], i)
		}
	}
	return at
}

// besideCompiling says what is wrong about who runs beside a runtime that compiles. It waits
// for the maps first if the action says so; and an init that it lets go on before it compiles
// goes on beside that (launch: compilesNext).
func besideCompiling(steps []plan.RuntimeStep) error {
	waits, helped, awaited, init, goesOn := false, false, false, false, 0
	for i, s := range steps {
		switch a := s.Action.(type) {
		case action.MapIDs:
			waits, helped = a.Waits, a.Maps.Helped()
		case action.AwaitMaps:
			awaited = true
		case plan.Await:
			init = init || a.Signal == "init"
		case plan.Answer:
			if init {
				goesOn = i
			}
		case action.CompileRest:
			if helped && awaited != waits {
				return fmt.Errorf("the runtime is said to wait for the maps: %v; it has when it compiles: %v", waits, awaited)
			}
			if goesOn != 0 && goesOn != i-1 {
				return fmt.Errorf("between the answer by which init goes on and CompileRest is %T", steps[i-1].Action)
			}
		}
	}
	return nil
}

// orderOf says what is wrong with the order of a container's plan.
func orderOf(r *Result) error {
	both, err := meet(r.Plan)
	if err != nil {
		return err
	}
	at := moments(both)
	var wrong []error
	times := func(name string, want int) {
		if got := len(at[name]); got != want {
			wrong = append(wrong, fmt.Errorf("%s %d times, not %d", name, got, want))
		}
	}
	// before wants the last of what comes first before the first of what comes then.
	before := func(first, then string) {
		if f, t := at[first], at[then]; len(f) > 0 && len(t) > 0 && f[len(f)-1] > t[0] {
			wrong = append(wrong, fmt.Errorf("%s after %s", first, then))
		}
	}
	count := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	late, helped, others := r.Cgroup.Manager == cgroupv2.Systemd, r.Maps != nil && r.Maps.Helped(), r.Maps != nil && !r.Maps.Self()
	times("await init", 1)
	times("CompileRest", 1)
	times("awaits rest", 1)
	times("MapIDs", count(others))
	times("awaits mapped", count(others))
	times("AwaitMaps", count(helped))
	times("record", count(late)) // again when its cgroup is known
	times("record all", 1)
	times("StartScope", count(late))
	times("AwaitScope", count(late))
	times("FilterDevices", len(at["LoadDevices"]))
	times("GiveCgroup", min(len(at["GiveCgroup"]), 1))
	for _, pair := range [][2]string{
		{"await init", "record"}, {"await init", "record all"}, {"CompileRest", "answer rest"},
		{"MapIDs", "AwaitMaps"}, {"MapIDs", "answer mapped"}, {"AwaitMaps", "answer mapped"},
		{"awaits mapped", "own network"}, {"awaits rest", "its CPUs"}, // the runtime sets others before
		{"record", "StartScope"}, {"StartScope", "AwaitScope"}, {"StartScope", "CompileRest"}, {"AwaitScope", "MakeSubgroup"},
		{"MakeSubgroup", "record all"}, {"record all", "RunHook"}, {"record all", "answer recorded"}, {"record all", "answer start"},
	} {
		before(pair[0], pair[1])
	}
	if len(at["OpenNamespace"]) == 0 { // who joins has hidden before
		before("awaits mapped", "hide")
	}
	wrong = append(wrong, besideCompiling(r.Plan.Runtime()))
	if late {
		before("AwaitScope", "WriteCgroup")
		before("AwaitScope", "MoveDown")
		before("MakeSubgroup", "own cgroup")
		before("awaits rest", "FilterDevices") // as the mounts are in the second part
		before("await namespaces", "FilterDevices")
		before("await namespaces", "GiveCgroup")
		before("record", "StartNetwork")
	} else {
		before("record all", "StartNetwork")
	}
	if others && len(at["own network"]) > 0 && helped {
		before("own network", "awaits rest") // the runtime compiles meanwhile
	}
	return errors.Join(wrong...)
}

// TestOrder: in each plan both sides come to their end; each thing is done once, and what
// needs another comes after it. Where init must be recorded before it hides, it waits for that.
func TestOrder(t *testing.T) {
	const delegated = `"cgroup": {"path": "/user.slice/session/runtime", "delegation": {"unit": "/user.slice/session", "writable": "/user.slice/session", "top": "/user.slice/session"}}`
	const places = `"serviceManager": {"socket": "/run/user/1001/bus"}, "namespaces": {"/ns/pid": {"type": "pid"}, "/ns/net": {"type": "network"}}, `
	kinds := func(list ...specs.LinuxNamespaceType) (namespaces []specs.LinuxNamespace) {
		for _, kind := range list {
			kind, path, _ := strings.Cut(string(kind), "=")
			namespaces = append(namespaces, specs.LinuxNamespace{Type: specs.LinuxNamespaceType(kind), Path: path})
		}
		return namespaces
	}
	hooks := map[string]*specs.Hooks{"": nil}
	one := []specs.Hook{{Path: "/bin/hook"}}
	hooks["createRuntime"], hooks["createContainer"], hooks["startContainer"] = &specs.Hooks{CreateRuntime: one}, &specs.Hooks{CreateContainer: one}, &specs.Hooks{StartContainer: one}
	own, many := []specs.LinuxIDMapping{{HostID: 1001, Size: 1}}, []specs.LinuxIDMapping{{ContainerID: 1, HostID: 100000, Size: 65536}}
	network := &netns.Connection{Network: netns.Network{Mode: netns.Pasta}}
	plans := 0
	for who, process := range map[string]string{"ranges": "", "one id": `, "subordinate": {"uids": null, "gids": null}`, "root": `, "process": {"capabilities": 255, "uid": 0, "gid": 0}`, "ranges of one kind": ""} {
		base, facts := golden{sections: map[string]string{"facts.json": "{" + places + delegated + process + "}"}}.input(t)
		for _, namespaces := range [][]specs.LinuxNamespace{
			kinds("pid", "mount", "ipc", "uts"), kinds("pid", "mount", "cgroup", "network"), kinds("mount", "ipc"),
			kinds("pid", "mount", "ipc", "user"), kinds("pid", "mount", "ipc", "user", "network"), kinds("pid", "mount", "user", "network", "cgroup"),
			kinds("mount", "user", "network"), kinds("mount", "user"), kinds("pid", "user", "network"), kinds("ipc", "user"), kinds("pid", "mount", "user", "time", "network"),
			kinds("pid=/ns/pid", "mount", "user", "network"), kinds("pid", "mount", "user", "network=/ns/net"),
		} {
			for _, manager := range []cgroupv2.Manager{cgroupv2.None, cgroupv2.Systemd, cgroupv2.Cgroupfs} {
				for hook, list := range hooks {
					for _, wish := range []string{"", "create", "detached", "ends with caller", "network", "delegate", "devices", "own cgroups", "proc hides"} {
						config, known, w := *base.Config, *facts, wishes()
						linux := *config.Linux
						config.Linux, config.Hooks, linux.Namespaces, w.Manager = &linux, list, namespaces, manager
						known.Process.ProcHides = wish == "proc hides"
						w.Create, w.Detached, w.EndsWithCaller = wish == "create", wish == "detached", wish == "ends with caller"
						switch who {
						case "root": // which writes maps itself
							all := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
							linux.UIDMappings, linux.GIDMappings = all, all
						case "ranges of one kind":
							linux.UIDMappings, linux.GIDMappings = append(own, many...), own
						}
						if !slices.Contains(namespaces, specs.LinuxNamespace{Type: "user"}) {
							linux.UIDMappings, linux.GIDMappings = nil, nil
						}
						switch wish {
						case "network":
							w.Network = network
						case "delegate":
							config.Annotations = map[string]string{delegateAnnotation: "own"}
						case "devices":
							linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
						case "own cgroups":
							config.Mounts = append(slices.Clone(config.Mounts), specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup"})
						}
						r, err := compileAnswered(&config, &known, w)
						if err != nil {
							continue // as a user without a user namespace
						}
						plans++
						owns := func(kind specs.LinuxNamespaceType) bool {
							return slices.Contains(namespaces, specs.LinuxNamespace{Type: kind})
						}
						if err = orderOf(r); err == nil {
							err = seen(r, !owns("pid") && owns("mount"), known.Process.ProcHides)
						}
						if err != nil {
							t.Errorf("%s, %v, %s, %s, %s: %v", who, namespaces, manager, hook, wish, err)
						}
					}
				}
			}
		}
	}
	if plans < 4000 {
		t.Errorf("only %d plans", plans)
	}
}

// seen wants init to wait for its record before it hides, where it is known by its mounts, and
// these to be looked at again when the program runs; and the first where proc hides others.
func seen(r *Result, byMounts, procHides bool) error {
	both, err := meet(r.Plan)
	if err != nil {
		return err
	}
	at := moments(both)
	if again := len(at["RecordMembers"]) == 1; again != byMounts {
		return fmt.Errorf("its mounts are looked at again: %v", again)
	}
	record := slices.Min(append(at["record"], at["record all"]...))
	if (byMounts || procHides) && len(at["OpenNamespace"]) == 0 && record > at["hide"][0] {
		return errors.New("init hides before it is recorded")
	}
	return nil
}
