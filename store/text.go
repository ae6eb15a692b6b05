package store

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/homerun-oci/homerun/jsonread"
)

// MarshalJSON is state.json, as encoding/json would write it by reflection, but for
// characters that it escapes for web pages. Without it run of /bin/true takes 1.035
// times as long (CPU time, medians of 400 interleaved rounds, 2026-11): a process that
// writes one state has to find out what a State is.
func (s State) MarshalJSON() ([]byte, error) {
	o := object{make([]byte, 0, 1024)}
	o.begin()
	o.number("version", int64(s.Version))
	o.word("id", s.ID)
	o.word("ociVersion", s.OCIVersion)
	o.word("bundle", s.Bundle)
	o.word("rootfs", s.Rootfs)
	o.count("rootfsDevice", s.RootfsDevice)
	o.count("rootfsInode", s.RootfsInode)
	if len(s.Annotations) > 0 {
		o.object("annotations", func() {
			for _, key := range slices.Sorted(maps.Keys(s.Annotations)) {
				o.word(key, s.Annotations[key])
			}
		})
	}
	created, err := s.Created.MarshalText()
	if err != nil {
		return nil, err
	}
	o.word("created", string(created))
	o.number("uid", int64(s.UID))
	o.count("pid", uint64(s.Pid))
	o.count("startTime", s.StartTime)
	o.count("pidNamespace", s.PIDNamespace)
	s.writeProcesses(&o)
	o.count("steps", uint64(s.Steps))
	o.flag("chroot", s.Chroot)
	if s.Cgroup != (Cgroup{}) {
		o.object("cgroup", func() { s.Cgroup.write(&o) })
	}
	if len(s.Undo) > 0 {
		o.name("undo")
		o.text = append(o.text, '[')
		for i := range s.Undo {
			if i > 0 {
				o.text = append(o.text, ',')
			}
			o.begin()
			kind, name, inode := s.Undo.Record(i)
			o.word("kind", kind)
			o.word("name", name)
			o.count("inode", inode)
			o.end()
		}
		o.text = append(o.text, ']')
	}
	if s.Raw != nil { // rare
		raw, err := json.Marshal(s.Raw)
		if err != nil {
			return nil, err
		}
		o.name("raw")
		o.text = append(o.text, raw...)
	}
	o.end()
	return o.text, nil
}

// writeProcesses writes by what the container's processes are known.
func (s *State) writeProcesses(o *object) {
	if u := s.Users; u != nil {
		o.object("users", func() {
			o.name("inode")
			o.text = strconv.AppendUint(o.text, u.Inode, 10)
			o.flag("above", u.Above)
		})
	}
	if w := s.Waiter; w != nil {
		o.object("waiter", func() {
			o.number("pid", int64(w.Pid))
			o.name("startTime")
			o.text = strconv.AppendUint(o.text, w.StartTime, 10)
		})
	}
	o.number("namespaces", int64(s.Namespaces))
	o.flag("marked", s.Marked)
	o.flag("keepsKeyring", s.KeepsKeyring)
	o.flag("foreground", s.Foreground)
	if m := s.Members; m != nil {
		o.object("members", func() {
			o.count("mountInode", m.Inode)
			o.count("mountID", m.ID)
		})
	}
}

func (c *Cgroup) write(o *object) {
	for _, m := range [...]struct{ name, value string }{{"manager", c.Manager}, {"path", c.Path}} {
		o.some(m.name, m.value)
	}
	o.count("inode", c.Inode)
	o.flag("limitsAbove", c.LimitsAbove)
	o.some("scope", c.Scope)
	o.count("oomKills", c.OOMKills)
}

// object is a JSON object that is being written.
type object struct{ text []byte }

func (o *object) begin() { o.text = append(o.text, '{') }
func (o *object) end()   { o.text = append(o.text, '}') }

// name begins a member.
func (o *object) name(name string) {
	if o.text[len(o.text)-1] != '{' {
		o.text = append(o.text, ',')
	}
	o.quote(name)
	o.text = append(o.text, ':')
}

func (o *object) word(name, value string) {
	o.name(name)
	o.quote(value)
}

// some, count and flag leave out what is empty, 0, or false.
func (o *object) some(name, value string) {
	if value != "" {
		o.word(name, value)
	}
}

func (o *object) count(name string, n uint64) {
	if n != 0 {
		o.name(name)
		o.text = strconv.AppendUint(o.text, n, 10)
	}
}

func (o *object) flag(name string, is bool) {
	if is {
		o.name(name)
		o.text = append(o.text, "true"...)
	}
}

func (o *object) number(name string, n int64) {
	o.name(name)
	o.text = strconv.AppendInt(o.text, n, 10)
}

func (o *object) object(name string, members func()) {
	o.name(name)
	o.begin()
	members()
	o.end()
}

// quote writes a JSON string: RFC 8259, section 7. What is not UTF-8 becomes U+FFFD.
func (o *object) quote(s string) {
	const digits = "0123456789abcdef"
	o.text = append(o.text, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			o.text = append(o.text, '\\', byte(r))
		case r < ' ':
			o.text = append(o.text, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			o.text = utf8.AppendRune(o.text, r)
		}
	}
	o.text = append(o.text, '"')
}

// readTime reads a moment as text has it.
func readTime(r *jsonread.Reader, v *time.Time) {
	var text string
	*v = time.Time{}
	if jsonread.Text(r, &text); text != "" && v.UnmarshalText([]byte(text)) != nil {
		r.Refuse("expected a time as in RFC 3339")
	}
}

// readBytes reads base64.
func readBytes(r *jsonread.Reader, v *[]byte) {
	var text string
	jsonread.Text(r, &text)
	var err error
	if *v, err = base64.StdEncoding.DecodeString(text); err != nil {
		r.Refuse("expected base64")
	}
}

func readRaw(r *jsonread.Reader, v *RawNames) {
	*v = RawNames{}
	for more := r.Object(); more; more = r.Field() {
		switch r.Key {
		case "bundle":
			readBytes(r, &v.Bundle)
		case "rootfs":
			readBytes(r, &v.Rootfs)
		case "cgroup":
			readBytes(r, &v.Cgroup)
		case "undo":
			readRawUndo(r, v)
		default:
			r.Skip()
		}
	}
}

// readRawUndo reads an object whose names are numbers.
func readRawUndo(r *jsonread.Reader, v *RawNames) {
	var names map[string][]byte
	jsonread.Table(r, &names, readBytes)
	v.Undo = make(map[int][]byte, len(names))
	for number, name := range names {
		i, err := strconv.Atoi(number)
		if err != nil {
			r.Refuse("expected a number as name")
		}
		v.Undo[i] = name
	}
}

// Member is a member of a JSON object, whose value is a string.
type Member struct{ Name, Value string }

// AppendObject appends a JSON object with those members that are not empty.
func AppendObject(text []byte, members ...Member) []byte {
	o := object{text}
	o.begin()
	for _, m := range members {
		o.some(m.Name, m.Value)
	}
	o.end()
	return o.text
}
