package main

import (
	"fmt"
	"log"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/homerun-oci/homerun/fault"
	"github.com/rootless-containers/rootlesskit/v3/pkg/port"

	"github.com/homerun-oci/homerun/netns"
)

// Who publishes a port
//
//	network      port                        served by
//	pasta        known at the start          pasta's own options
//	pasta+pesto  any                         pesto (rootlesskit pkg/port/pasta)
//	pasta        added later                 builtin (rootlesskit pkg/port/builtin)
//	slirp4netns  UDP                         its API (rootlesskit pkg/port/slirp4netns)
//	slirp4netns  TCP, no firewall tools      its API
//	slirp4netns  TCP                         builtin
//	any          address of a protocol that  builtin
//	             the container does not have
//
// pasta keeps the client's address for TCP and UDP, needs no process besides,
// and is the fastest of all. slirp4netns keeps it too, but listens with a
// backlog of 1, so that of 500 clients that come at once most get nothing, and
// is slow. builtin listens in this process and has a second one, in the
// container's namespaces, dial: it is four times as fast, keeps the client's
// address for TCP where nft or iptables work in that namespace, not for UDP,
// and can add and remove ports whatever the network driver's age. Connections
// from the host's loopback have the loopback's, the gateway's or the
// container's own address inside: the kernel would drop any other.
//
// slirp4netns's API has IPv4 only: "all addresses" means all IPv4 ones with it.

// The names of those who publish, as Published.By has them.
const (
	byPasta   = "pasta"
	byPesto   = "pesto"
	bySlirp   = "slirp4netns"
	byBuiltin = "builtin"
)

// maxServed bounds a range where every port takes a descriptor and a call.
const maxServed = 1000

// published is a forward with what is needed to take it back.
type published struct {
	netns.Published
	manager *manager
	ids     []int
}

// publisher keeps the list of what is published. It is safe for concurrent
// use; changes are made one at a time.
type publisher struct {
	mu     sync.Mutex
	helper *helper
	list   []published
	// managers are the port drivers that were started, by name.
	managers map[string]*manager
}

func newPublisher(h *helper) *publisher {
	return &publisher{helper: h, managers: map[string]*manager{}}
}

// start publishes what the request asked for and pasta has not done yet.
func (p *publisher) start(ports []netns.Forward) error {
	for _, f := range p.helper.link.fixed {
		p.list = append(p.list, published{Published: netns.Published{Forward: f, By: byPasta, Fixed: true}})
	}
	rest := slices.DeleteFunc(slices.Clone(ports), func(f netns.Forward) bool {
		return slices.Contains(p.helper.link.fixed, f)
	})
	_, err := p.add(rest)
	return err
}

// ports is the list in the form that is answered.
func (p *publisher) ports() []netns.Published {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answer()
}

func (p *publisher) answer() []netns.Published {
	list := make([]netns.Published, len(p.list))
	for i := range p.list {
		list[i] = p.list[i].Published
	}
	return list
}

// add publishes all of the forwards or none. What a driver then does not take back
// stays in the list, where it can be removed once more.
func (p *publisher) add(forwards []netns.Forward) ([]netns.Published, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.list)
	for _, f := range forwards {
		if err := p.addOne(f); err != nil {
			p.takeBack(before)
			return nil, err
		}
	}
	return p.answer(), nil
}

// takeBack withdraws all that is in the list after the first so many.
func (p *publisher) takeBack(before int) {
	kept := p.list[:before]
	for _, d := range p.list[before:] {
		if err := d.withdraw(); err != nil {
			log.Print(err)
			kept = append(kept, d)
		}
	}
	p.list = kept
}

// addOne publishes a forward. One that it could publish in part is the last of the
// list, with what there is of it.
func (p *publisher) addOne(f netns.Forward) error {
	for _, g := range p.list {
		if f.Overlaps(g.Forward) {
			return &fault.Error{What: "publish " + f.String(), Why: g.Forward.String() + " is published already", Code: netns.PortBusy}
		}
	}
	if f.Count > maxServed {
		return &fault.Error{What: "publish " + f.String(), Why: fmt.Sprintf("at most %d ports are served at once", maxServed)}
	}
	if err := p.helper.settings.checkForward(f); err != nil {
		return err
	}
	by := p.choose(f)
	m, err := p.manager(by)
	if err != nil {
		return err
	}
	p.list = append(p.list, published{Published: netns.Published{Forward: f, By: by}, manager: m})
	done := &p.list[len(p.list)-1]
	for _, spec := range p.helper.settings.specs(f, by) {
		id, err := m.add(spec)
		if err != nil {
			return explainAdd(f, by, err)
		}
		done.ids = append(done.ids, id)
	}
	return nil
}

// explainAdd makes one line of a port driver's error.
func explainAdd(f netns.Forward, by string, err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	e := netns.ExplainOutput(netns.Mode(by), text, false)
	e.What = fmt.Sprintf("publish %s: %s", f, e.What)
	return e
}

// withdraw takes a forward back. What the driver does not give up is left for
// another attempt.
func (d *published) withdraw() error {
	for len(d.ids) > 0 {
		if err := d.manager.remove(d.ids[0]); err != nil {
			return fmt.Errorf("remove port %s: %s: %w", d.Forward, d.By, err)
		}
		d.ids = d.ids[1:]
	}
	return nil
}

// remove takes all of the forwards back; none, if one of them is not there or is
// fixed. A driver that does not give one up ends it; what came before is gone.
func (p *publisher) remove(forwards []netns.Forward) ([]netns.Published, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var doomed []int
	for _, f := range forwards {
		i := slices.IndexFunc(p.list, func(d published) bool { return d.Forward == f })
		if i < 0 {
			return nil, &fault.Error{What: "remove port " + f.String(), Why: "it is not published", Hint: "`homerun port ID` lists what is"}
		}
		if p.list[i].Fixed {
			return nil, netns.ExplainFixed(f)
		}
		doomed = append(doomed, i)
	}
	slices.Sort(doomed)
	for _, i := range slices.Backward(slices.Compact(doomed)) {
		if err := p.list[i].withdraw(); err != nil {
			return nil, err
		}
		p.list = slices.Delete(p.list, i, i+1)
	}
	return p.answer(), nil
}

// close ends the drivers. The listeners of this process are closed before it
// returns: who no longer finds the record may take the ports at once. A change
// that is under way keeps the list; then they end with the process.
func (p *publisher) close() {
	if p.mu.TryLock() {
		defer p.mu.Unlock()
		for _, d := range p.list {
			if d.By == byBuiltin {
				_ = d.withdraw()
			}
		}
	}
	for _, m := range p.managers {
		m.close()
	}
}

// choose picks who serves a forward that the network driver's own options do
// not; the table is at the top.
func (p *publisher) choose(f netns.Forward) string {
	link, s := p.helper.link, p.helper.settings
	switch {
	case link.driver == netns.Pasta && link.pesto && s.reaches(f.HostIP):
		return byPesto
	case link.driver == netns.Pasta || f.HostIP.Is6():
		return byBuiltin
	case f.Protocol == netns.UDP:
		return bySlirp
	}
	if m, err := p.manager(byBuiltin); err == nil && m.keepsSource() {
		return byBuiltin
	}
	return bySlirp
}

// specs spells a forward in rootlesskit's words, one port each.
func (s settings) specs(f netns.Forward, by string) []port.Spec {
	hosts := []netip.Addr{f.HostIP}
	switch {
	case by == bySlirp && !f.HostIP.IsValid():
		hosts = []netip.Addr{netip.IPv4Unspecified()}
	case by == byPesto:
		hosts = s.hostAddresses(f.HostIP)
	}
	var list []port.Spec
	for _, host := range hosts {
		for i := range int(f.Count) {
			list = append(list, port.Spec{
				Proto: string(f.Protocol), ParentIP: addrText(host), ParentPort: int(f.HostPort) + i,
				ChildIP: s.childIP(host, by), ChildPort: int(f.ContainerPort) + i,
			})
		}
	}
	return list
}

// childIP is where builtin dials: the container's address in the protocol of
// the host's, if it has one. The other drivers know theirs.
func (s settings) childIP(host netip.Addr, by string) string {
	if by != byBuiltin {
		return ""
	}
	if host.Is6() && s.six.Container.IsValid() && s.v6 || !s.v4 {
		return s.six.Container.String()
	}
	return s.four.Container.String()
}

// addrText is an address, or nothing for all of them.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
