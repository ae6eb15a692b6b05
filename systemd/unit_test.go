package systemd

import (
	"strings"
	"testing"
)

// TestService: the whole file, once, and what each field changes in it.
func TestService(t *testing.T) {
	s := Service{Description: "100%", Command: [][]string{{"/a b", "run"}, {"--x=$y"}, {"--", "a;", ";"}}, Directory: "/h %", Notifies: true, Restart: "no", StopSeconds: 10}
	const want = `[Unit]
Description=100%%

[Service]
Type=notify
NotifyAccess=main
Delegate=yes
KillMode=mixed
OOMPolicy=stop
WorkingDirectory=-/h %%
ExecStart="/a b" run \
    --x=$$y \
    -- "a;" ";"
TimeoutStopSec=10
SuccessExitStatus=129 130 141 143
Restart=no

[Install]
WantedBy=default.target
`
	if got := s.Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for line, change := range map[string]func(*Service){
		"WorkingDirectory=/h %%\n":                            func(s *Service) { s.Needed = true },
		"Type=exec\nNotifyAccess=none\n":                      func(s *Service) { s.Notifies = false },
		"\nExecReload=/homerun kill web HUP\n":                func(s *Service) { s.Reload = [][]string{{"/homerun", "kill", "web", "HUP"}} },
		"\nKillSignal=3\n":                                    func(s *Service) { s.StopSignal = "3" },
		"\nTimeoutStopSec=infinity\n":                         func(s *Service) { s.StopSeconds = -1 },
		"\nTimeoutStopSec=1ms\n":                              func(s *Service) { s.StopSeconds = 0 },
		"\nRestart=always\n":                                  func(s *Service) { s.Restart = "always" },
		"\nWatchdogSec=3\n":                                   func(s *Service) { s.WatchdogSeconds = 3 },
		"\nRequires=w.socket\nAfter=w.socket\n":               func(s *Service) { s.Socket = "w.socket" },
		"[Install]\nAlso=w.socket\n":                          func(s *Service) { s.Socket = "w.socket" },
		"\nRequiresMountsFor=\"/a b%%\"\n":                    func(s *Service) { s.Paths = []string{"/a b%"} },
		"\nWantedBy=multi-user.target\n":                      func(s *Service) { s.System = true },
		"\nWants=network-online.target\nAfter=network-online": func(s *Service) { s.System = true },
	} {
		changed := s
		change(&changed)
		if got := changed.Text(); strings.Contains(want, line) || !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}

func TestSocket(t *testing.T) {
	s := Socket{Description: "d", Streams: []string{"80", "[::1]:81"}, Datagrams: []string{"127.0.0.1:53"}}
	const want = "[Unit]\nDescription=d\n\n[Socket]\nListenStream=80\nListenStream=[::1]:81\nListenDatagram=127.0.0.1:53\n\n[Install]\nWantedBy=sockets.target\n"
	if got := s.Text(); got != want {
		t.Errorf("%s", got)
	}
}

// TestWord: quoting as systemd.syntax(7) has it; tests/units has systemd read it.
func TestWord(t *testing.T) {
	for text, want := range map[string]string{"": `""`, "a": "a", "--x=/y,z:1.2@%$": "--x=/y,z:1.2@%$", "a b": `"a b"`, `"`: `"\""`, `\`: `"\\"`, "a\nb": `"a\nb"`,
		"\t\x01\x7f": `"\x09\x01\x7f"`, ";": `";"`, "#": `"#"`, "'": `"'"`, "ä": `"ä"`, "~": `"~"`, "*": `"*"`} {
		if got := word(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestWritable(t *testing.T) {
	for text, raw := range map[string]bool{"a\nb": false, "\"'\\ ": false, "/a b%$": true, "": true} {
		if err := Writable(text, raw); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, raw := range map[string]bool{"\xff": false, "a\x00": false, "/a\n": true, "/a ": true, `/a\`: true, `/a"`: true, "/a'": true, "/\x7f": true} {
		if Writable(text, raw) == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
