package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
)

// gigabyte is what each benchmark moves per turn, in bytes.
const gigabyte = 1 << 30

// transfer counts what goes wrong instead of ending: the pasta of 2023 stalls,
// and a number says more than a failure. Its time is then worth nothing.
func transfer(b *testing.B, sender *agent, address string) {
	b.Helper()
	b.SetBytes(gigabyte)
	broken := 0
	for b.Loop() {
		o, err := sender.do(task{Op: "send", Network: "tcp", Address: address, Size: gigabyte, Limit: 20000})
		if err != nil || o.Text != fmt.Sprint(gigabyte) {
			b.Logf("%v, %s of %d bytes arrived", err, o.Text, gigabyte)
			broken++
		}
	}
	b.ReportMetric(float64(broken)/float64(b.N), "broken/op")
}

// BenchmarkOut moves data from the container to the outside.
func BenchmarkOut(b *testing.B) {
	for _, driver := range drivers() {
		b.Run(string(driver), func(b *testing.B) {
			transfer(b, connected(b, driver).agent, "192.0.2.2:9")
		})
	}
	b.Run("veth", func(b *testing.B) {
		needWorld(b)
		b.SetBytes(gigabyte)
		for b.Loop() {
			if _, err := (task{Network: "tcp", Address: "192.0.2.2:9", Size: gigabyte}).send(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkIn moves data from the outside through a published port.
func BenchmarkIn(b *testing.B) {
	type way struct {
		driver netns.Mode
		by     string
	}
	for _, w := range []way{{netns.Pasta, byPasta}, {netns.Pasta, byBuiltin}, {netns.Slirp4netns, byBuiltin}, {netns.Slirp4netns, bySlirp}} {
		b.Run(string(w.driver)+"/"+w.by, func(b *testing.B) {
			benchmarkIn(b, w.driver, w.by)
		})
	}
}

func benchmarkIn(b *testing.B, driver netns.Mode, by string) {
	if by == bySlirp {
		hideFirewall(b)
	}
	var first []string
	if by == byPasta {
		first = []string{"8080:9"}
	}
	box := connected(b, driver, first...)
	box.must(b, task{Op: "sink", Network: "tcp", Address: ":9"})
	if first == nil {
		list, err := client.Add(b.Context(), box.state, []netns.Forward{forward(b, "8080:9")})
		if err != nil || list[0].By != by {
			b.Fatal(list, err)
		}
	}
	transfer(b, box.w.outside, "192.0.2.1:8080")
}

// BenchmarkConnect is what a container's start waits for at most.
func BenchmarkConnect(b *testing.B) {
	off := false
	for name, n := range map[string]netns.Network{
		"pasta": {Mode: netns.Pasta}, "pasta/ipv4": {Mode: netns.Pasta, IPv6: &off},
		"slirp4netns": {Mode: netns.Slirp4netns}, "slirp4netns/ipv4": {Mode: netns.Slirp4netns, IPv6: &off},
	} {
		for _, port := range []string{"", "8080:80"} {
			b.Run(name+"/port="+port, func(b *testing.B) { benchmarkConnect(b, n, port) })
		}
	}
}

func benchmarkConnect(b *testing.B, n netns.Network, port string) {
	var total time.Duration
	for range b.N {
		total += connectOnce(b, n, port)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "ms/connect")
}

// connectOnce times the helper alone, without the container and the client.
func connectOnce(b *testing.B, n netns.Network, port string) time.Duration {
	x := newBox(b)
	var forwards []netns.Forward
	if port != "" {
		forwards = append(forwards, forward(b, port))
	}
	r := netns.NewRequest(n, x.pid, x.state, forwards)
	if err := x.request(r); err != nil {
		b.Fatal(err)
	}
	x.kill()
	if err := client.Stop(context.Background(), x.state); err != nil {
		b.Fatal(err)
	}
	return x.elapsed
}
