package runflags

import (
	"slices"
	"strings"
	"testing"
)

// TestMounts: what each flag mounts, and where it comes in the list: a mount comes
// before those below it, which it would hide, and in the place of the container's own.
func TestMounts(t *testing.T) {
	for _, test := range []struct {
		flag, value, want string
	}{
		{"tmpfs", "/cache", "tmpfs tmpfs /cache nosuid,nodev,noexec,mode=1777"},
		{"tmpfs", "/cache/:size=1m,exec", "tmpfs tmpfs /cache nosuid,nodev,noexec,mode=1777,size=1m,exec"},
		{"tmpfs", "/tmp:size=1m", "tmpfs tmpfs /tmp nosuid,nodev,noexec,mode=1777,size=1m"},
		{"tmpfs", "/dev", "tmpfs tmpfs /dev nosuid,nodev,noexec,mode=1777"},
		{"tmpfs", "/data", "tmpfs tmpfs /data nosuid,nodev,noexec,mode=1777"},
		{"mount", "type=bind,source=/srv,target=/mnt", "bind /srv /mnt rbind"},
		{"mount", "type=bind,src=/srv,dst=/mnt,readonly", "bind /srv /mnt rbind,ro"},
		{"mount", "type=bind,src=/srv,destination=/mnt,ro=true,bind-nonrecursive,bind-propagation=rslave", "bind /srv /mnt bind,ro,rslave"},
		{"mount", "type=bind,src=/srv,dst=/mnt,ro=false,rw=false,consistency=cached", "bind /srv /mnt rbind,ro"},
		{"mount", "type=bind,src=srv,dst=/mnt,rw", "bind srv /mnt rbind"},
		{"mount", `type=bind,"src=/a,b",dst=/mnt`, "bind /a,b /mnt rbind"},
		{"mount", "type=tmpfs,dst=/cache,tmpfs-size=1m,tmpfs-mode=700,ro", "tmpfs tmpfs /cache nosuid,nodev,noexec,mode=1777,size=1m,mode=700,ro"},
		{"mount", "type=bind,src=/srv,dst=/mnt,nosuid,nodev,noexec", "bind /srv /mnt rbind,nosuid,nodev,noexec"},
		{"mount", "type=tmpfs,dst=/cache,exec", "tmpfs tmpfs /cache nosuid,nodev,noexec,mode=1777,exec"},
		{"device", "/dev/fuse", "bind /dev/fuse /dev/fuse rbind,nosuid,noexec"},
		{"device", "/dev/fuse:rw", "bind /dev/fuse /dev/fuse rbind,nosuid,noexec"},
		{"device", "/dev/sda:/dev/disk:rwm", "bind /dev/sda /dev/disk rbind,nosuid,noexec"},
	} {
		s := base(t)
		before := len(s.Mounts)
		if err := Apply(s, Values{test.flag: {test.value}}, Host{}); err != nil {
			t.Errorf("--%s %s: %v", test.flag, test.value, err)
			continue
		}
		var lines, destinations []string
		for _, m := range s.Mounts {
			lines = append(lines, m.Type+" "+m.Source+" "+m.Destination+" "+strings.Join(m.Options, ","))
			destinations = append(destinations, m.Destination)
		}
		at := slices.Index(lines, test.want)
		if at < 0 {
			t.Errorf("--%s %s: %q", test.flag, test.value, lines)
			continue
		}
		destination := destinations[at]
		below := slices.IndexFunc(destinations, func(d string) bool { return strings.HasPrefix(d, destination+"/") })
		replaced := destination == "/tmp"
		if below >= 0 && below < at || replaced != (len(s.Mounts) == before) {
			t.Errorf("--%s %s: at %d of %q", test.flag, test.value, at, destinations)
		}
		if !Mounts(test.flag, test.value, destination) || Mounts(test.flag, test.value, "/elsewhere") {
			t.Errorf("--%s %s is not found by %s", test.flag, test.value, destination)
		}
	}
}

// TestVolume takes away what docker's and podman's users write and homerun has no use
// for, and refuses what it would have to do something for.
func TestVolume(t *testing.T) {
	for _, test := range []struct {
		text, want string
		relabel    bool
		err        string
	}{
		{"/a:/b", "/a:/b", false, ""},
		{"..:/b", "..:/b", false, ""},
		{"/a:/b:ro,Z", "/a:/b:ro", true, ""},
		{"/a:/b:z", "/a:/b", true, ""},
		{"/a:/b:cached,nosuid,nocopy", "/a:/b:nosuid", false, ""},
		{"nonsense", "nonsense", false, ""}, // package spec says what it wants
		{"/a:/b:U", "", false, `--volume "/a:/b:U": homerun changes no owners (U): chown does`},
		{"/a:/b:O", "", false, `--volume "/a:/b:O": homerun has no overlay for a volume (O): bind it ro`},
		{"~/x:/b", "", false, `--volume "~/x:/b": ~ is for the shell, which leaves it alone here: want $HOME, or ./~ for a file of that name`},
	} {
		got, relabel, err := Volume(test.text)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != test.want || relabel != test.relabel || text != test.err {
			t.Errorf("%s: %q, %t, %s", test.text, got, relabel, text)
		}
	}
}

// TestEnvironment: the files come first, a name alone has the caller's value or is left
// out, and no error shows what may be secret.
func TestEnvironment(t *testing.T) {
	caller := []string{"HOME=/home/me", "AWS_A=1", "AWS_B=2", "EMPTY="}
	files := []EnvFile{{"f", []byte("\uFEFF# comment\n\nA=1\r\n  B= x \nHOME\nNOPE\n")}}
	got, err := Environment(files, []string{"A=2", "C=", "EMPTY", "AWS_*", "N=a*"}, caller)
	want := []string{"A=1", "B= x ", "HOME=/home/me", "A=2", "C=", "EMPTY=", "AWS_A=1", "AWS_B=2", "N=a*"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	for _, test := range []struct {
		file, flag, want string
	}{
		{"A=1\nMY NAME=secret\n", "", "--env-file f: line 2: want NAME=VALUE, or NAME for the value that it has here; a name has no blanks"},
		{"A=1\r\n\n# c\nB=secret\x00secret\n", "", "--env-file f: line 4: it has a NUL byte, which no variable can have"},
		{"A\x00", "", "--env-file f: line 1: it has a NUL byte, which no variable can have"},
		{"=secret", "", "--env-file f: line 1: want NAME=VALUE, or NAME for the value that it has here; a name has no blanks"},
		{"", "=secret", "--env: want NAME=VALUE, or NAME for the value that it has here; a name has no blanks"},
		{"", "A B", "--env: want NAME=VALUE, or NAME for the value that it has here; a name has no blanks"},
	} {
		var flags []string
		if test.flag != "" {
			flags = []string{test.flag}
		}
		if _, err := Environment([]EnvFile{{"f", []byte(test.file)}}, flags, nil); err == nil || err.Error() != test.want {
			t.Errorf("%q, %q: %v", test.file, test.flag, err)
		}
	}
}

// TestHostname: RFC 1123 says what a host may be called, and the kernel how long.
func TestHostname(t *testing.T) {
	for _, name := range []string{"box", "box-1.example.org", "A9", "web_1", strings.Repeat("a", 64)} {
		if err := CheckHostname(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "a b", "-a", "a-", "a..b", ".a", "a\n", "ä", "a/b", strings.Repeat("a", 65)} {
		if err := CheckHostname(name); err == nil || !strings.HasPrefix(err.Error(), "--hostname ") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestCheckPlaces: no mount takes the place of the root or of another one.
func TestCheckPlaces(t *testing.T) {
	for _, c := range []struct {
		volumes []string
		values  Values
		want    string
	}{
		{[]string{"/a:/mnt", "/b:/mnt/b", "/c:/mnt2:ro"}, Values{"tmpfs": {"/tmp"}, "mount": {"type=bind,src=/,dst=/host"}}, ""},
		{[]string{"/a", ":b"}, Values{"tmpfs": {"x"}, "mount": {"type=bind"}}, ""},
		{[]string{"/a:/"}, nil, `--volume "/a:/": / is the root itself, which --rootfs says`},
		{[]string{"/a:/x/..:ro"}, nil, `--volume "/a:/x/..:ro": / is the root itself, which --rootfs says`},
		{nil, Values{"tmpfs": {"/:size=1m"}}, `--tmpfs "/:size=1m": / is the root itself, which --rootfs says`},
		{nil, Values{"mount": {"type=bind,src=/a,dst=/"}}, `--mount "type=bind,src=/a,dst=/": / is the root itself, which --rootfs says`},
		{[]string{"/a:/mnt", "/b:/mnt/"}, nil, `--volume "/b:/mnt/": /mnt has a mount by --volume "/a:/mnt": leave one out`},
		{[]string{"/a:/mnt:ro"}, Values{"tmpfs": {"/mnt"}}, `--tmpfs "/mnt": /mnt has a mount by --volume "/a:/mnt:ro": leave one out`},
		{nil, Values{"mount": {"type=tmpfs,dst=/x"}, "tmpfs": {"/x"}}, `--tmpfs "/x": /x has a mount by --mount "type=tmpfs,dst=/x": leave one out`},
	} {
		got := ""
		if err := CheckPlaces(c.volumes, c.values); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v, %v: %s, want %s", c.volumes, c.values, got, c.want)
		}
	}
}
