package main

// scene is what stays the same while the runtimes take their turns.
type scene struct {
	Cgroups string // scope or none
	Config  string // spec or podman
}

func scenes(o options) []scene {
	var list []scene
	for _, cgroups := range o.cgroups {
		for _, config := range o.configs {
			list = append(list, scene{cgroups, config})
		}
	}
	return list
}

// plain is the scene for what depends neither on cgroups nor on config.json.
func (s scene) plain() bool { return s == plainScene() }

func plainScene() scene { return scene{"none", "spec"} }

// bundle names the bundle whose container runs a program.
func (s scene) bundle(program string) string { return s.Cgroups + "-" + s.Config + "-" + program }

// measures reports whether a verb is worth its time in the scene.
func (s scene) measures(verb string) bool {
	switch verb {
	case "state", "kill", "person":
		return s.plain()
	case "crowd":
		return s.Config == "spec"
	}
	return true
}

// global are a runtime's options before the verb.
func (s scene) global(name string) []string {
	switch {
	case s.Cgroups == "scope":
		return []string{"--systemd-cgroup"}
	case name == "runc":
		return []string{"--rootless=true"} // it has no option for no cgroups at all
	}
	return []string{"--cgroup-manager=disabled"}
}
