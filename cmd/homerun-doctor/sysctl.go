package main

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/jsonread"
	"github.com/homerun-oci/homerun/lint"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// unknownParameters are those that the plan sets and the kernel does not have. New namespaces
// have no others than the caller's, but for interfaces. One that is joined may have.
func (k kernel) unknownParameters(p *container.Plan) []lint.Finding {
	joins := map[specs.LinuxNamespaceType]bool{}
	for _, n := range p.Config.Linux.Namespaces {
		joins[n.Type] = n.Path != ""
	}
	var list []lint.Finding
	for i := range p.Result.Plan.Len() {
		step := p.Result.Plan.Step(i)
		o, opens := step.Op.(plan.Openat2)
		key, sets := strings.CutPrefix(step.Pointer, "linux.sysctl.")
		if !opens || !sets {
			continue
		}
		name, base := ofAnyInterface("/proc/" + o.Path)
		isNet := strings.HasPrefix(o.Path, "sys/net/")
		joined := isNet && joins[specs.NetworkNamespace] || !isNet && joins[specs.IPCNamespace]
		if joined || k.lacks(base) || !k.lacks(name) {
			continue
		}
		f := lint.Finding{Kind: lint.KindImpossible, Place: jsonread.Keyed("linux.sysctl", key), Message: "the kernel has no parameter " + key,
			Advice: "sysctl -a lists those that it has; if a module brings it, load that first, as nf_conntrack for net.netfilter"}
		f.Message += lint.DidYouMean(path.Base(name), k.names(path.Dir(name)))
		list = append(list, f)
	}
	return list
}

// ofAnyInterface is the file of a parameter. If that is one of an interface, which may come
// later, it is the one that all begin with: /proc/sys/net/ipv4/conf/default/forwarding. base is
// a directory that is there on each kernel that has such parameters: without it nothing is said.
func ofAnyInterface(name string) (file, base string) {
	parts := strings.Split(name, "/")
	if len(parts) == 8 && (parts[5] == "conf" || parts[5] == "neigh") && !slices.Contains([]string{"all", "default", "lo"}, parts[6]) {
		parts[6] = "default"
		return strings.Join(parts, "/"), strings.Join(parts[:7], "/")
	}
	return name, strings.Join(parts[:4], "/")
}

// names are those in a directory; none where it cannot be read.
func (k kernel) names(dir string) []string {
	entries, _ := os.ReadDir(filepath.Join(k.files, dir)) // those that were read
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
