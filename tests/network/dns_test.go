package network

import (
	"net"
	"testing"
)

// A name is looked up with the host's resolver, which listens on the host's
// loopback, and with one of --dns.
func TestDNS(t *testing.T) {
	if !ownHost(t) {
		return
	}
	nameServer(t, "127.0.0.1:53", [4]byte{192, 0, 2, 1})
	nameServer(t, "192.0.2.1:53", [4]byte{192, 0, 2, 1})
	server := hostServer(t, "192.0.2.1:7000")
	defer server.Close()
	eachDriver(t, func(t *testing.T, driver string) {
		for _, flags := range [][]string{nil, {"--dns", "192.0.2.1"}} {
			args := append(onHost(t, append([]string{"--net", driver}, flags...)...), "get", "http://www.example.test:7000")
			if out := newPlace(t).must(t, args...); out != "the host\n" {
				t.Errorf("%q: the answer is %q", flags, out)
			}
		}
	})
}

// nameServer answers every question for an address with the one given, and
// every other question with nothing.
func nameServer(t *testing.T, address string, answer [4]byte) {
	t.Helper()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if n > 12 {
				c.WriteTo(reply(b[:n], answer), from)
			}
		}
	}()
}

// reply is a DNS message (RFC 1035): the question again, and for type A one
// record that points to its name.
func reply(query []byte, answer [4]byte) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type and class
	if end > len(query) {
		return nil
	}
	m := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	if query[end-3] != 1 {
		return m
	}
	m[7] = 1
	m = append(m, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
	return append(m, answer[:]...)
}
