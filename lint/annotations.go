package lint

import (
	"maps"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/jsonread"
	"github.com/homerun-oci/homerun/netns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// own is what the names of homerun's own annotations begin with.
const own = "run.homerun."

// annotated are the names that mean something.
var annotated = []string{own + "net", own + "ports", own + "stop-signal", own + "stop-timeout"}

// Annotations lists those of homerun's own that run refuses, or that have no meaning.
func Annotations(s *specs.Spec) []Finding {
	var list []Finding
	for _, name := range slices.Sorted(maps.Keys(s.Annotations)) {
		place, value := jsonread.Keyed("annotations", name), s.Annotations[name]
		var err error
		switch {
		case name == own+"net":
			_, err = netns.ParseNetwork(value)
		case name == own+"ports" && value != "":
			for _, port := range strings.Split(value, ",") {
				if _, err = netns.ParseForward(port); err != nil {
					break
				}
			}
		case strings.HasPrefix(name, own) && !slices.Contains(annotated, name):
			list = append(list, Finding{Kind: KindIgnored, Place: place, Message: "homerun has no such annotation" + DidYouMean(name, annotated)})
		}
		if err != nil {
			list = append(list, Finding{Kind: KindInvalid, Place: place, Message: err.Error()})
		}
	}
	return list
}
