package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/lint"
)

// programBundle writes a bundle whose root has programs, files that nobody may execute, links,
// and a directory that is called as a program.
func programBundle(t *testing.T, process, more string) string {
	t.Helper()
	dir := bundleOf(t, `{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"user":{"uid":0,"gid":0},"noNewPrivileges":true,`+process+`},
`+more+namespaces+`}}`)
	in := func(name string) string { return filepath.Join(dir, "rootfs", name) }
	var err error
	try := func(e error) {
		if err == nil {
			err = e
		}
	}
	for _, name := range []string{"opt/deep/tools", "bin/sub", "srv"} {
		try(os.MkdirAll(in(name), 0o755))
	}
	try(os.WriteFile(in("opt/deep/tools/tool"), []byte("#!/bin/true\n"), 0o700))
	for _, name := range []string{"opt/plain", "bin/plain"} {
		try(os.WriteFile(in(name), []byte("#!/bin/true\n"), 0o644))
	}
	for link, to := range map[string]string{"tools": "/opt/deep/tools", "bin/true2": "../../../../bin/true", "bin/host": "/etc/hostname-of-no-root", "bin/linked": "/mnt/x", "bin/self": "self"} {
		try(os.Symlink(to, in(link)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// programFindings are those about the program, as lint prints them.
func programFindings(t *testing.T, dir string) []lint.Finding {
	t.Helper()
	_, out, errors := start("--homerun", "/nowhere/homerun", "--root", t.TempDir(), "--json", "--", "lint", dir)
	var d lintDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil || errors != "" {
		t.Fatalf("%v: %s %s", err, out, errors)
	}
	var list []lint.Finding
	for _, f := range d.Findings {
		if f.Kind == lint.KindInvalid {
			t.Fatalf("%+v", f)
		}
		if strings.HasPrefix(f.Place, "process.args") {
			list = append(list, f)
		}
	}
	return list
}

// TestProgram: a program that the start would not find is said, where that is sure.
func TestProgram(t *testing.T) {
	for _, c := range []struct{ process, more, want string }{
		{`"cwd":"/","args":["true"]`, ``, ""},
		{`"cwd":"/","args":["nginx"]`, ``, `there is no program "nginx" in the root|it is looked for as /bin/nginx, /usr/bin/nginx: put it there, or its directory into PATH in process.env`},
		{`"cwd":"/","args":["tool"]`, ``, `there is no program "tool" in the root|`},
		{`"cwd":"/","args":["tool"],"env":["PATH=/bin","PATH=/usr/bin:/tools"]`, ``, ""},
		{`"cwd":"/","args":["tool"],"env":["PATH=/tools","PATH=/bin"]`, ``, `there is no program "tool" in the root|it is looked for as /bin/tool: `},
		{`"cwd":"/tools","args":["tool"],"env":["PATH=/bin:"]`, ``, ""},
		{`"cwd":"/","args":["/bin/nginx"]`, ``, `there is no program "/bin/nginx" in the root|it is looked for as /bin/nginx: put it there, or name one that is there`},
		{`"cwd":"/tools","args":["./tool"]`, ``, ""},
		{`"cwd":"/tools","args":["../tools/tool"]`, ``, ""}, // of /opt/deep, where the link leads
		{`"cwd":"/tools","args":["../opt/plain"]`, ``, `there is no program "../opt/plain" in the root|`},
		{`"cwd":"/no/such","args":["./tool"]`, ``, `there is no program "./tool" in the root|it is looked for as /no/such/./tool: `},
		{`"cwd":"/","args":["true2"]`, ``, ""},
		{`"cwd":"/","args":["host"]`, ``, `there is no program "host" in the root|`},
		{`"cwd":"/","args":["sub"]`, ``, `/bin/sub in the root is a directory, not a program|it is looked for as /bin/sub, /usr/bin/sub: `},
		{`"cwd":"/","args":["plain"],"env":["PATH=/opt/deep:/opt:/bin"]`, ``, "/opt/plain in the root has no execute permission|chmod +x DIR/rootfs/opt/plain"},
		{`"cwd":"/","args":["true"],"env":["PATH=/opt:/bin"]`, ``, ""},
		// Who knows what is there then?
		{`"cwd":"/","args":["self"]`, ``, ""},
		{`"cwd":"/","args":["/srv/x"]`, `"mounts":[{"destination":"/srv","type":"tmpfs","source":"x"}],`, ""},
		{`"cwd":"/","args":["linked"]`, `"mounts":[{"destination":"/mnt","type":"tmpfs","source":"x"}],`, ""},
		{`"cwd":"/","args":["/srv/x"]`, `"mounts":[{"destination":"/srv/x","type":"bind","source":"/bin/sh","options":["bind"]}],`, ""},
		{`"cwd":"/","args":["nginx"]`, `"mounts":[{"destination":"/usr","type":"tmpfs","source":"x"}],`, ""},
		{`"cwd":"/","args":["nginx"]`, `"mounts":[{"destination":"/","type":"tmpfs","source":"x"}],`, ""},
		{`"cwd":"/srv","args":["./x"]`, `"mounts":[{"destination":"/srv","type":"tmpfs","source":"x"}],`, ""},
		{`"cwd":"/","args":["nginx"]`, `"mounts":[{"destination":"/srv","type":"tmpfs","source":"x"}],`, `there is no program "nginx" in the root|`},
		{`"cwd":"/","args":["nginx"]`, `"hooks":{"prestart":[{"path":"/bin/sh"}]},`, ""},
		{`"cwd":"/","args":["nginx"]`, `"hooks":{"createRuntime":[{"path":"/bin/sh"}]},`, ""},
		{`"cwd":"/","args":["nginx"]`, `"hooks":{"createContainer":[{"path":"/bin/sh"}]},`, ""},
		{`"cwd":"/","args":["nginx"]`, `"hooks":{"startContainer":[{"path":"/bin/sh"}]},`, ""},
		{`"cwd":"/","args":["nginx"]`, `"hooks":{"poststop":[{"path":"/bin/sh"}]},`, `there is no program "nginx" in the root|`},
	} {
		dir := programBundle(t, c.process, c.more)
		got := ""
		for _, f := range programFindings(t, dir) {
			got += strings.ReplaceAll(f.Message+"|"+f.Advice, dir, "DIR")
			if f.Place != "process.args[0]" || f.Kind != lint.KindImpossible || f.Line != 1 {
				t.Errorf("%s: %+v", c.process, f)
			}
		}
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s %s:\n got %q\nwant %q", c.process, c.more, got, c.want)
		}
	}
}

// TestProgramUnseen: of what the caller may not look at nothing is said.
func TestProgramUnseen(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs an ordinary user: root looks everywhere")
	}
	dir := programBundle(t, `"cwd":"/","args":["/srv/x"]`, "")
	if err := os.Chmod(filepath.Join(dir, "rootfs/srv"), 0); err != nil {
		t.Fatal(err)
	}
	if list := programFindings(t, dir); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

// TestProgramJoined: where another namespace has the mounts nothing is said.
func TestProgramJoined(t *testing.T) {
	dir := programBundle(t, `"cwd":"/","args":["nginx"]`, "")
	name := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(name)
	if err == nil {
		text = []byte(strings.Replace(string(text), `{"type":"mount"}`, fmt.Sprintf(`{"type":"mount","path":"/proc/%d/ns/mnt"}`, os.Getpid()), 1))
		err = os.WriteFile(name, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if list := programFindings(t, dir); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}
