package seccomp

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// State is what the receiver of a listener learns about the container: the
// members of the container process state (runtime specification 1.3.0,
// config-linux.md, "The Container Process State").
type State struct {
	OCIVersion  string
	ID          string
	Status      string // "creating" while init is being set up
	PID         int    // of the process under the filter, as the runtime sees it
	InitPID     int    // of the container's init; 0 when that is PID
	Bundle      string
	Annotations map[string]string
	Metadata    string // linux.seccomp.listenerMetadata
}

// Message gives the JSON text that goes with the listener.
func (s State) Message() []byte {
	initPID := s.InitPID
	if initPID == 0 {
		initPID = s.PID
	}
	b := append([]byte(`{"ociVersion":`), quote(s.OCIVersion)...)
	b = append(b, `,"fds":["seccompFd"],"pid":`...)
	b = strconv.AppendInt(b, int64(s.PID), 10)
	if s.Metadata != "" {
		b = append(append(b, `,"metadata":`...), quote(s.Metadata)...)
	}
	b = append(append(b, `,"state":{"ociVersion":`...), quote(s.OCIVersion)...)
	b = append(append(b, `,"id":`...), quote(s.ID)...)
	b = append(append(b, `,"status":`...), quote(s.Status)...)
	b = strconv.AppendInt(append(b, `,"pid":`...), int64(initPID), 10)
	b = append(append(b, `,"bundle":`...), quote(s.Bundle)...)
	return append(s.appendAnnotations(b), "}}"...)
}

func (s State) appendAnnotations(b []byte) []byte {
	if len(s.Annotations) == 0 {
		return b
	}
	var pairs []string
	for k, v := range s.Annotations {
		pairs = append(pairs, quote(k)+":"+quote(v))
	}
	sort.Strings(pairs)
	return append(append(append(b, `,"annotations":{`...), strings.Join(pairs, ",")...), '}')
}

// quote gives s as a JSON string (RFC 8259). Bytes that are not UTF-8 become
// U+FFFD.
func quote(s string) string {
	const hex = "0123456789abcdef"
	b := append(make([]byte, 0, len(s)+2), '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}
