package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The agent is this test binary in another network namespace: the container,
// or the outside world. It takes one task per line of JSON on its standard
// input and answers one line each, until its input ends.

type task struct {
	Op      string `json:"op"`
	Network string `json:"network,omitempty"`
	Address string `json:"address,omitempty"`
	Data    string `json:"data,omitempty"`
	Count   int    `json:"count,omitempty"`
	Size    int64  `json:"size,omitempty"`
	// Limit is in milliseconds; 0 means agentLimit.
	Limit int `json:"limit,omitempty"`
}

type outcome struct {
	Text  string `json:"text,omitempty"`
	Count int    `json:"count,omitempty"`
	Error string `json:"error,omitempty"`
}

const agentLimit = 10 * time.Second

func agentMain() int {
	if err := loopbackUp(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		return 1
	}
	if os.Getenv(dumpable) == "0" {
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	out := json.NewEncoder(os.Stdout)
	// The host's procfs has the host's number.
	self, _ := os.Readlink("/proc/self")
	pid, _ := strconv.Atoi(self)
	out.Encode(outcome{Count: pid})
	in := json.NewDecoder(os.Stdin)
	for {
		var t task
		if in.Decode(&t) != nil {
			return 0
		}
		o, err := t.run()
		if err != nil {
			o.Error = err.Error()
		}
		out.Encode(o)
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

func (t task) run() (outcome, error) {
	switch t.Op {
	case "serve":
		_, err := t.serve()
		return outcome{}, err
	case "ask":
		return t.ask()
	case "many":
		return t.many()
	case "sink":
		_, err := t.sink()
		return outcome{}, err
	case "send":
		return t.send()
	case "dns":
		_, err := t.dns()
		return outcome{}, err
	case "resolve":
		return t.resolve()
	case "read":
		data, err := os.ReadFile(t.Address)
		return outcome{Text: string(data)}, err
	}
	return outcome{}, fmt.Errorf("unknown task %q", t.Op)
}

// serve answers every line or datagram with the peer's address and itself.
func (t task) serve() (io.Closer, error) {
	if strings.HasPrefix(t.Network, "udp") {
		c, err := net.ListenPacket(t.Network, t.Address)
		if err == nil {
			go serveUDP(c)
		}
		return c, err
	}
	l, err := net.Listen(t.Network, t.Address)
	if err == nil {
		go each(l, serveTCP)
	}
	return l, err
}

func each(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go serve(c)
	}
}

func serveUDP(c net.PacketConn) {
	buffer := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(buffer)
		if err != nil {
			return
		}
		c.WriteTo(fmt.Appendf(nil, "%s %s", from, buffer[:n]), from)
	}
}

func serveTCP(c net.Conn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		fmt.Fprintf(c, "%s %s\n", c.RemoteAddr(), lines.Text())
	}
}

// ask sends one line and answers what came back.
func (t task) ask() (outcome, error) {
	limit := agentLimit
	if t.Limit > 0 {
		limit = time.Duration(t.Limit) * time.Millisecond
	}
	c, err := net.DialTimeout(t.Network, t.Address, limit)
	if err != nil {
		return outcome{}, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	return exchange(c, t.Network, t.Data)
}

func exchange(c net.Conn, network, data string) (outcome, error) {
	if strings.HasPrefix(network, "udp") {
		buffer := make([]byte, 65536)
		c.Write([]byte(data))
		n, err := c.Read(buffer)
		return outcome{Text: string(buffer[:n])}, err
	}
	fmt.Fprintf(c, "%s\n", data)
	line, err := bufio.NewReader(c).ReadString('\n')
	return outcome{Text: strings.TrimSpace(line)}, err
}

// many opens Count connections, then uses each while all of them are open.
func (t task) many() (outcome, error) {
	conns := make([]net.Conn, t.Count)
	fail := make([]error, t.Count)
	parallel(t.Count, func(i int) {
		if conns[i], fail[i] = net.DialTimeout(t.Network, t.Address, agentLimit); fail[i] == nil {
			conns[i].SetDeadline(time.Now().Add(3 * agentLimit))
		}
	})
	var o outcome
	var mu sync.Mutex
	parallel(t.Count, func(i int) {
		if fail[i] != nil {
			return
		}
		defer conns[i].Close()
		word := fmt.Sprint("connection ", i)
		got, err := exchange(conns[i], t.Network, word)
		if err != nil || !strings.HasSuffix(got.Text, word) {
			fail[i] = fmt.Errorf("%q, %v", got.Text, err)
			return
		}
		mu.Lock()
		o.Count++
		mu.Unlock()
	})
	for _, err := range fail {
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func parallel(n int, do func(int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

// sink swallows what a connection sends and answers how much it was.
func (t task) sink() (io.Closer, error) {
	l, err := net.Listen(t.Network, t.Address)
	if err != nil {
		return nil, err
	}
	go each(l, func(c net.Conn) {
		defer c.Close()
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 1<<20))
		fmt.Fprintln(c, n)
	})
	return l, nil
}

// send sends Size bytes to a sink.
func (t task) send() (outcome, error) {
	c, err := net.DialTimeout(t.Network, t.Address, agentLimit)
	if err != nil {
		return outcome{}, err
	}
	defer c.Close()
	limit := 2 * time.Minute
	if t.Limit > 0 {
		limit = time.Duration(t.Limit) * time.Millisecond
	}
	c.SetDeadline(time.Now().Add(limit))
	block := make([]byte, 1<<20)
	for left := t.Size; left > 0; left -= int64(len(block)) {
		if _, err := c.Write(block[:min(left, int64(len(block)))]); err != nil {
			return outcome{}, err
		}
	}
	c.(*net.TCPConn).CloseWrite()
	line, err := bufio.NewReader(c).ReadString('\n')
	return outcome{Text: strings.TrimSpace(line)}, err
}

// dns answers every question for an address with Data (IPv4).
func (t task) dns() (io.Closer, error) {
	c, err := net.ListenPacket("udp", t.Address)
	if err != nil {
		return nil, err
	}
	go func() {
		buffer := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			c.WriteTo(dnsAnswer(buffer[:n], net.ParseIP(t.Data).To4()), from)
		}
	}()
	return c, nil
}

// dnsAnswer echoes the question, and for type A adds one address (RFC 1035).
func dnsAnswer(query []byte, ip net.IP) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	if end+5 > len(query) {
		return nil
	}
	question := query[12 : end+5]
	header := []byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}
	answer := append(header, question...)
	if binary.BigEndian.Uint16(question[len(question)-4:]) == 1 {
		answer[7] = 1
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
		answer = append(answer, ip...)
	}
	return answer
}

// resolve asks the name server at Address for Data.
func (t task) resolve() (outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), agentLimit)
	defer cancel()
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", t.Address)
	}}
	ips, err := r.LookupIP(ctx, "ip4", t.Data)
	return outcome{Text: fmt.Sprint(ips)}, err
}
