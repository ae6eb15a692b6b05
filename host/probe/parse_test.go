package probe

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/process"
)

func TestLoginNames(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/bash\n" +
		"# u1:x:1001:\n\n+::::::\n-u1:x:1001:1:::\n" +
		"u1:x:1001:1001::/home/u1:/bin/sh\n" +
		"alias:x:1001:1001::/home/u1:/bin/sh\n" +
		"short:x:1001\n" +
		":x:1001:0:::\n" +
		"big:x:4294967296:0:::\n" +
		"minus:x:-1:0:::\n" +
		"last:x:1002:1:::"
	for uid, want := range map[uint32][]string{
		0: {"root"}, 1001: {"u1", "alias"}, 1002: {"last"}, 7: nil, 4294967295: nil,
	} {
		if got := loginNames([]byte(passwd), uid); !reflect.DeepEqual(got, want) {
			t.Errorf("uid %d: got %q; want %q", uid, got, want)
		}
	}
}

func TestParseIDMap(t *testing.T) {
	got := parseIDMap([]byte("         0       1001          1\n         1     100000      65536\nx y z\n1 2\n1 2 3 4\n0 0 4294967295"))
	want := []host.Mapping{{HostID: 1001, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}, {Size: 4294967295}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestUnifiedPath(t *testing.T) {
	for text, want := range map[string]string{
		"0::/user.slice/a b\n":                "/user.slice/a b",
		"9:name=systemd:/x\n1:cpu:/\n0::/y\n": "/y",
		"10::/x\n":                            "",
		"":                                    "",
		"0::/../..\n":                         "/../..",
	} {
		if got := unifiedPath([]byte(text)); got != want {
			t.Errorf("%q: got %q; want %q", text, got, want)
		}
	}
}

func TestOtherSource(t *testing.T) {
	for text, want := range map[string]string{
		"passwd: files sss\n":            "",
		"subid: files\n":                 "",
		"# subid: sss\n":                 "",
		"subid: sss # why\n":             "sss",
		"passwd: files\n\tsubid :\tsss":  "sss",
		"subid:\n":                       "",
		"subid: files sss\nsubid: sss\n": "",
	} {
		if got := otherSource([]byte(text), "subid"); got != want {
			t.Errorf("%q: got %q; want %q", text, got, want)
		}
	}
}

func TestParseGetsubids(t *testing.T) {
	got := parseGetsubids([]byte("0: u1 100000 65536\n1: u1 300000 1\nError\n2: u1 x y\n3: u1 5 0\n"))
	want := []host.Range{{Start: 100000, Size: 65536}, {Start: 300000, Size: 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestIsUnconfined(t *testing.T) {
	for label, want := range map[string]bool{
		"unconfined": true, "unconfined_foo (enforce)": false, "": false,
		"homerun (unconfined)": false, "unprivileged_userns (enforce)": true,
	} {
		if isUnconfined(label) != want {
			t.Errorf("%q: want %v", label, want)
		}
	}
}

func TestFlagNames(t *testing.T) {
	got := flagNames(unix.ST_NOSUID | unix.ST_NODEV | unix.ST_RDONLY | unix.ST_RELATIME | 0x20)
	if want := []string{"nosuid", "nodev", "ro", "relatime"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

// TestRlimitNumbers: the names are the kernel's 16, each its own.
func TestRlimitNumbers(t *testing.T) {
	seen := map[int]bool{}
	for _, name := range strings.Fields("AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK") {
		n, ok := process.Resource("RLIMIT_" + name)
		if !ok || seen[n] || n > 15 {
			t.Errorf("%s: %d, %v", name, n, ok)
		}
		seen[n] = true
	}
	if _, ok := process.Resource("RLIMIT_NLIMITS"); ok {
		t.Error("unknown limit accepted")
	}
}

func FuzzLoginNames(f *testing.F) {
	f.Add([]byte("u1:x:1001:1001::/:\n::1001:\n"), uint32(1001))
	f.Fuzz(func(t *testing.T, text []byte, uid uint32) {
		for _, name := range loginNames(text, uid) {
			if name == "" || strings.ContainsAny(name, ":\n") {
				t.Errorf("name %q", name)
			}
		}
	})
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("0 0 1\n0::/x\nsubid: sss\n0: u1 1 2"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if n := len(parseIDMap(text)); n > 1+strings.Count(string(text), "\n") {
			t.Errorf("%d mappings", n)
		}
		if strings.Contains(unifiedPath(text), "\n") || strings.ContainsAny(otherSource(text, "subid"), " \n#") {
			t.Error("line not cut")
		}
		parseGetsubids(text)
	})
}
