package netns

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plain"
)

func TestRequest(t *testing.T) {
	n, err := ParseNetwork("pasta:mtu=1500,ipv6=false,subnet=10.5.0.0/24,host-loopback")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseForward("[::1]:8080:80")
	if err != nil {
		t.Fatal(err)
	}
	r := NewRequest(n, 42, "/run/x", []Forward{f})
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"version":1,"driver":"pasta","pid":42,"stateDir":"/run/x",` +
		`"ports":[{"hostIP":"::1","hostPort":8080,"containerPort":80,"count":1,"protocol":"tcp"}],` +
		`"mtu":1500,"ipv6":false,"subnet":"10.5.0.0/24","hostLoopback":true}`
	if string(data) != want {
		t.Errorf("%s", data)
	}
	if got, err := ParseRequest(data); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v", got, err)
	}
	for change, want := range map[string]string{
		`{}`:            "homerun-net: request: protocol version 0, want 1 | different builds",
		`[`:             "homerun-net: request: unexpected end of JSON input",
		`{"version":1}`: `homerun-net: request: unknown driver ""`,
		`{"version":1,"driver":"none","pid":1,"stateDir":"/x"}`:                        `homerun-net: request: unknown driver "none"`,
		`{"version":1,"driver":"auto","stateDir":"/x"}`:                                "homerun-net: request: no container process",
		`{"version":1,"driver":"auto","pid":1,"stateDir":"x"}`:                         "homerun-net: request: state directory is not an absolute path",
		`{"version":1,"driver":"auto","pid":1,"stateDir":"/x","mtu":9}`:                "homerun-net: request: mtu 9 is out of range",
		`{"version":1,"driver":"auto","pid":1,"stateDir":"/x","ports":[{}]}`:           `port 0: unknown protocol ""`,
		`{"version":1,"driver":"auto","pid":1,"stateDir":"/x","subnet":"10.0.0.0/30"}`: "subnet 10.0.0.0/30: want an IPv4 network",
	} {
		_, err := ParseRequest([]byte(change))
		fails(t, change, err, want)
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"version":1,"driver":"auto","pid":1,"stateDir":"/x","subnet":"10.0.0.0/24","ports":[{"hostIP":"::1","hostPort":1,"containerPort":1,"count":3,"protocol":"udp"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRequest(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseRequest(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if once, err := json.Marshal(s); err != nil || string(once) != string(again) {
			t.Fatalf("%s became %s, %v", again, once, err)
		}
	})
}

func TestParseCommand(t *testing.T) {
	c, err := ParseCommand([]byte(`{"op":"add","ports":[{"hostPort":1,"containerPort":2,"count":1,"protocol":"udp"}]}`))
	if err != nil || c.Op != OpAdd || c.Ports[0].ContainerPort != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	for text, want := range map[string]string{
		``:                             "homerun-net: command: unexpected end",
		`{"op":"dance"}`:               `homerun-net: command: unknown operation "dance"`,
		`{"op":"remove","ports":[{}]}`: `port 0: unknown protocol`,
	} {
		_, err := ParseCommand([]byte(text))
		fails(t, text, err, want)
	}
}

// FuzzParseCommand: what is taken is one of the commands, with ports that can be
// had, and means the same when it is sent again. What is refused is so in a line
// that can be sent and shown.
func FuzzParseCommand(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCommand(data)
		if err != nil {
			failure := NewFailure(err)
			if failure.Error == "" || len(failure.Error) > 5*maxFailure || plain.Text(failure.Error) != failure.Error {
				t.Errorf("%q: %q", data, failure.Error)
			}
			return
		}
		if c.Op != OpList && c.Op != OpStop && (c.Op != OpAdd && c.Op != OpRemove || CheckForwards(c.Ports) != nil) {
			t.Fatalf("%q: %+v", data, c)
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := ParseCommand(again); err != nil || d.Op != c.Op || !slices.Equal(d.Ports, c.Ports) {
			t.Fatalf("%q: %s: %+v, %v", data, again, d, err)
		}
	})
}

// FuzzReply: an answer is a success only if it says so, and comes through JSON as
// it was.
func FuzzReply(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Reply
		if json.Unmarshal(data, &r) != nil {
			return
		}
		if err := r.Err(); (err == nil) != (r.OK && r.Error == "") {
			t.Fatalf("%q: %+v: %v", data, r, err)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var s Reply
		if err := json.Unmarshal(again, &s); err != nil || s.OK != r.OK || s.Failure != r.Failure || !slices.Equal(s.Ports, r.Ports) {
			t.Fatalf("%q: %s: %+v, %v", data, again, s, err)
		}
	})
}

// TestFailure: an error comes out of JSON as it went in.
func TestFailure(t *testing.T) {
	before := &fault.Error{Why: "who: what: why", Hint: "do this", Code: NoTun}
	data, err := json.Marshal(Result{Failure: NewFailure(before)})
	if err != nil {
		t.Fatal(err)
	}
	var after Result
	if err := json.Unmarshal(data, &after); err != nil {
		t.Fatal(err)
	}
	var got *fault.Error
	if !errors.As(after.Err(), &got) || *got != *before {
		t.Errorf("%s: %+v", data, got)
	}
	if err := NewFailure(errors.New("plain")).Err(); err.Error() != "plain" {
		t.Error(err)
	}
	if err := (Failure{}).Err(); err != nil {
		t.Error(err)
	}
	for _, err := range []error{Result{}.Err(), Reply{}.Err()} {
		if err == nil || !strings.Contains(err.Error(), "neither") {
			t.Errorf("an answer that says nothing: %v", err)
		}
	}
	if err := errors.Join(Result{OK: true}.Err(), Reply{OK: true}.Err()); err != nil {
		t.Error(err)
	}
	wrapped := NewFailure(fmt.Errorf("run: %w", before))
	if wrapped.Hint != "do this" || wrapped.Error != "run: who: what: why" {
		t.Errorf("%+v", wrapped)
	}
}

// TestExplainOutput: messages as the drivers of different years print them.
func TestExplainOutput(t *testing.T) {
	for _, c := range []struct {
		name, output, message, hint string
		reason                      string
		appArmor                    bool
	}{
		{"pasta 2023, port", "Failed to bind any port for '-t 80:80', exiting\n", "pasta: Failed to bind any port for '-t 80:80', exiting", "ss -ltnup", PortBusy, false},
		{"pasta 2024, port", "Failed to bind port 8080 (Address already in use) for option '-t 8080:80', exiting\n", "pasta: Failed to bind port 8080 (Address already in use) for option '-t 8080:80', exiting", "ss -ltnup", PortBusy, false},
		{"pasta 2023, tun", "1700000000.0010: Failed to open tun socket in namespace\n", "pasta: Failed to open tun socket in namespace", "chmod 0666", NoTun, false},
		{"pasta 2025, tun", "Failed to open() /dev/net/tun: Permission denied\nFailed to set up tap device in namespace\n", "pasta: Failed to open() /dev/net/tun: Permission denied", "chmod 0666", NoTun, false},
		{"pasta 2023, route", "Failed to send 46 bytes to syslog\nNo external routable interface for IPv4\nExternal interface not usable\n", "pasta: External interface not usable", "default route", NoRoute, false},
		{"pasta, user namespace", "Couldn't open user namespace /proc/42/ns/user: Permission denied\n", "pasta: Couldn't open user namespace /proc/42/ns/user: Permission denied", "must belong to the user", Refused, false},
		{"pasta, AppArmor", "Couldn't create user namespace: Permission denied\n", "pasta: Couldn't create user namespace: Permission denied", "AppArmor", Refused, true},
		{"slirp4netns", "WARNING: Support for seccomp is experimental\nsetns(CLONE_NEWUSER): Operation not permitted\nchild failed(1)\n", "pasta: setns(CLONE_NEWUSER): Operation not permitted", "must belong", Refused, false},
		{"silence", "Failed to send 3 bytes to syslog\n", "pasta: ended without a word", "", "", false},
		{"something new", "first\nthe reason\n\n", "pasta: the reason", "", "", false},
	} {
		e := ExplainOutput(Pasta, c.output, c.appArmor)
		if e.Error() != c.message || e.Code != c.reason || !strings.Contains(e.Hint, c.hint) || (c.hint == "") != (e.Hint == "") {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

func TestExplain(t *testing.T) {
	f, err := ParseForward("127.0.0.1:80-81:80-81")
	if err != nil {
		t.Fatal(err)
	}
	for want, e := range map[string]*fault.Error{
		"publish 127.0.0.1:80-81:80-81/tcp: port 127.0.0.1:81/tcp: address already in use | ss -ltnup":   ExplainBind(f, 81, "EADDRINUSE", "address already in use", 1024),
		"publish 127.0.0.1:80-81:80-81/tcp: port 127.0.0.1:80/tcp: permission denied | from 1024 on":     ExplainBind(f, 80, "EACCES", "permission denied", 1024),
		"network: /dev/net/tun: permission denied | chmod 0666":                                          ExplainTun("EACCES", "permission denied"),
		"network: /dev/net/tun: no such device | modprobe tun":                                           ExplainTun("ENODEV", "no such device"),
		"network: neither pasta nor slirp4netns is installed in /usr/bin, /bin | install passt":          ExplainMissing(Auto, []string{"/usr/bin", "/bin"}),
		"network: pasta is not installed in /usr/bin | install passt":                                    ExplainMissing(Pasta, []string{"/usr/bin"}),
		"remove port 127.0.0.1:80-81:80-81/tcp: pasta published it when the container started | 2026-05": ExplainFixed(f),
	} {
		fails(t, want, e, want)
	}
}
