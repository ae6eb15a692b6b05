package container

import (
	"encoding/json"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// encodeProfile is json.Marshal of a seccomp profile, by hand: with some 450 names it
// is most of a config, is encoded before init can be told its filter, and reflection
// takes half a millisecond the first time.
func encodeProfile(s *specs.LinuxSeccomp) []byte {
	e := make(encoder, 0, 12<<10)
	e.add(`{"defaultAction":`).quote(string(s.DefaultAction))
	if s.DefaultErrnoRet != nil {
		e.add(`,"defaultErrnoRet":`).number(uint64(*s.DefaultErrnoRet))
	}
	quoteAll(&e, `,"architectures":`, s.Architectures)
	quoteAll(&e, `,"flags":`, s.Flags)
	if s.ListenerPath != "" {
		e.add(`,"listenerPath":`).quote(s.ListenerPath)
	}
	if s.ListenerMetadata != "" {
		e.add(`,"listenerMetadata":`).quote(s.ListenerMetadata)
	}
	for i := range s.Syscalls {
		e.add(separator(i, `,"syscalls":[`))
		e.rule(&s.Syscalls[i])
	}
	if len(s.Syscalls) > 0 {
		e.add("]")
	}
	e.add("}")
	return e
}

// encoder is JSON while it is written.
type encoder []byte

func (e *encoder) add(text string) *encoder {
	*e = append(*e, text...)
	return e
}

func (e *encoder) number(n uint64) { *e = strconv.AppendUint(*e, n, 10) }

// quote adds a string. Names need no more than quotes.
func (e *encoder) quote(text string) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"\<>&`, r) }) {
		quoted, _ := json.Marshal(text) // a string cannot fail
		*e = append(*e, quoted...)
		return
	}
	e.add(`"`).add(text).add(`"`)
}

func quoteAll[T ~string](e *encoder, before string, list []T) {
	for i, text := range list {
		e.add(separator(i, before+"["))
		e.quote(string(text))
	}
	if len(list) > 0 {
		e.add("]")
	}
}

func separator(i int, first string) string {
	if i == 0 {
		return first
	}
	return ","
}

func (e *encoder) rule(r *specs.LinuxSyscall) {
	if quoteAll(e, `{"names":`, r.Names); len(r.Names) == 0 {
		e.add(`{"names":null`)
	}
	e.add(`,"action":`).quote(string(r.Action))
	if r.ErrnoRet != nil {
		e.add(`,"errnoRet":`).number(uint64(*r.ErrnoRet))
	}
	for i, a := range r.Args {
		e.add(separator(i, `,"args":[`)).add(`{"index":`).number(uint64(a.Index))
		e.add(`,"value":`).number(a.Value)
		if a.ValueTwo != 0 {
			e.add(`,"valueTwo":`).number(a.ValueTwo)
		}
		e.add(`,"op":`).quote(string(a.Op))
		e.add("}")
	}
	if len(r.Args) > 0 {
		e.add("]")
	}
	e.add("}")
}
