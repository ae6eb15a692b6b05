package strace

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// messageText finds the bytes that are written to a socket.
var messageText = regexp.MustCompile(`^(?:write\(<socket:\[\d+\]>, |sendmsg\(<socket:\[\d+\]>, .*iov_base=)("(?:[^"\\]|\\.)*")`)

// busCalls are the calls by D-Bus that one system call sends, as a plan has them; or
// the text itself. The first ones of a connection come after what lets us in.
func busCalls(text string) (list []string) {
	m := messageText.FindStringSubmatch(text)
	if m == nil {
		return []string{text}
	}
	sent := unescape(m[1])
	if _, after, found := bytes.Cut(sent, []byte("\r\nBEGIN\r\n")); found {
		sent = after
	}
	if !bytes.HasPrefix(sent, []byte("l\x01")) {
		return []string{text}
	}
	for rest := bytes.NewReader(sent); rest.Len() > 0; {
		decoded, err := dbus.DecodeMessage(rest)
		if err != nil {
			return append(list, text+": "+err.Error())
		}
		list = append(list, message(decoded))
	}
	return list
}

// message is a call as a plan has it.
func message(decoded *dbus.Message) string {
	var arguments []string
	for i, a := range decoded.Body {
		switch v := a.(type) {
		case [][]any:
			for _, pair := range v {
				if len(pair) == 2 {
					arguments = append(arguments, fmt.Sprintf("%v=%v", pair[0], pair[1].(dbus.Variant).Value()))
				}
			}
		case string:
			if i == 1 && v == "fail" { // the mode of a job
				continue
			}
			arguments = append(arguments, strconv.Quote(v))
		default:
			arguments = append(arguments, fmt.Sprint(v))
		}
	}
	return fmt.Sprint(decoded.Headers[dbus.FieldMember].Value()) + "(" + strings.Join(arguments, ", ") + ")"
}

// unescape reads a string as strace shows it.
func unescape(s string) []byte {
	s = s[1 : len(s)-1]
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		if at := strings.IndexByte("tnvfr", s[i]); at >= 0 {
			b = append(b, "\t\n\v\f\r"[at])
			continue
		}
		n, digits := 0, 0
		for digits < 3 && i+digits < len(s) && s[i+digits] >= '0' && s[i+digits] <= '7' {
			n = n*8 + int(s[i+digits]-'0')
			digits++
		}
		if digits == 0 { // a quote or a backslash
			b = append(b, s[i])
			continue
		}
		b, i = append(b, byte(n)), i+digits-1
	}
	return b
}
