package units

import (
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

// answer is a program that takes one connection from the socket that it was started with.
const answer = `import os, socket
assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_PID"] == str(os.getpid()), os.environ
s = socket.socket(fileno=3)
while True:
    c, _ = s.accept()
    c.sendall(b"hello from the container\n")
    c.close()
`

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// The first connection starts the service, whose program answers, without a network of
// its own.
func TestSocket(t *testing.T) {
	guest.NeedUser(t)
	u := newUnit(t)
	port := freePort(t)
	flags := []string{"--socket", "--publish", "127.0.0.1:" + port + ":80", "--rootfs", "/", "--net", "none", "--", "python3", "-c", answer}
	u.generate(".socket", flags...)
	u.generate(".service", flags...)
	systemctl(t, "start", u.name+".socket")
	u.want("ActiveState=inactive")
	for range 2 {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 5*time.Second)
		if err != nil {
			t.Fatalf("%v\n%s", err, u.status())
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if text, err := io.ReadAll(c); err != nil || string(text) != "hello from the container\n" {
			t.Errorf("%v: %q\n%s", err, text, u.status())
		}
		c.Close()
	}
	u.want("ActiveState=active")
	systemctl(t, "stop", u.name+".socket", u.name+".service")
	u.want("ActiveState=inactive")
}
