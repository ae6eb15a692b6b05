package bus

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	sdbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/systemd"
	"golang.org/x/sys/unix"
)

const (
	destination = "org.freedesktop.systemd1"
	object      = dbus.ObjectPath("/org/freedesktop/systemd1")
	manager     = destination + ".Manager."
	jobRemoved  = "JobRemoved"
)

// maxDropped bounds how many properties an old systemd may refuse.
const maxDropped = 32

// isEssential reports a property that makes the unit a container's scope; without
// it there is no point.
func isEssential(name string) bool {
	return slices.Contains([]string{"PIDs", "PIDFDs", "Slice", "Delegate"}, name)
}

// Job is a unit that systemd was asked to start.
type Job struct {
	conn    *Conn
	unit    string
	process int
	list    []systemd.Property
	dropped []systemd.Property
	// call is the serial number of the request.
	call uint32
	// reset is set once a unit in the way was reset.
	reset bool
}

// Start asks for a new transient unit and returns once the call was sent, so
// that the caller can do its mounts meanwhile. Its process, which takes the place
// of the property PIDs, is a child that was not waited for; a slice has none: 0.
// Only one job at a time may be waited for on a Conn. Errors are *fault.Error.
func (c *Conn) Start(ctx context.Context, unit string, process int, list []systemd.Property) (*Job, error) {
	j := &Job{conn: c, unit: unit, process: process, list: list}
	if err := j.request(ctx); err != nil {
		return nil, failed("start", unit, err)
	}
	return j, nil
}

// request watches the unit's jobs and asks for it, where the connection leads.
func (j *Job) request(ctx context.Context) (err error) {
	j.list, err = j.conn.withProcess(j.list, j.process)
	if errors.Is(err, unix.ESRCH) {
		err = dbus.Error{Name: errNoProcess}
	}
	var out bytes.Buffer
	if err == nil {
		err = j.conn.addWatch(&out, j.unit)
	}
	if err == nil {
		err = j.send(ctx, &out)
	}
	if errors.Is(err, errLost) {
		err = j.conn.elsewhere(ctx, err)
	}
	if errors.Is(err, errMoved) {
		return j.request(ctx)
	}
	return err
}

// addWatch subscribes to the end of the unit's jobs. No reply is waited for:
// messages of one connection keep their order. On the private socket systemd
// sends every signal anyway, and there is no bus to ask.
func (c *Conn) addWatch(out *bytes.Buffer, unit string) error {
	c.results = map[dbus.ObjectPath]string{}
	if c.at.private {
		return nil
	}
	rule := "type='signal',sender='" + destination + "',path='" + string(object) + "',interface='" +
		strings.TrimSuffix(manager, ".") + "',member='JobRemoved',arg2='" + unit + "'"
	watch := methodCall("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.AddMatch", rule)
	watch.Flags = dbus.FlagNoReplyExpected
	_, err := c.add(out, watch)
	return err
}

// variants gives properties the form a(sv), for which go-systemd has the type.
func variants(list []systemd.Property) []sdbus.Property {
	wire := make([]sdbus.Property, len(list))
	for i, p := range list {
		wire[i] = sdbus.Property{Name: p.Name, Value: dbus.MakeVariant(p.Value)}
	}
	return wire
}

// send makes the call, after what out has already. Mode fail: a job in the way is an
// error, never undone.
func (j *Job) send(ctx context.Context, out *bytes.Buffer) (err error) {
	start := methodCall(destination, object, manager+"StartTransientUnit", j.unit, "fail", variants(j.list), []sdbus.PropertyCollection{})
	var fds []int
	if j.conn.pidfd >= 0 {
		fds = []int{j.conn.pidfd}
		start.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(len(fds)))
	}
	if j.call, err = j.conn.add(out, start); err != nil {
		return err
	}
	return j.conn.write(ctx, out.Bytes(), fds...)
}

// Wait waits until the unit runs: its processes are then in its cgroup, and
// its limits hold as far as systemd may set them (prove it with
// live.Dir.Ensure). A unit of that name that failed before is reset and the
// start tried once more; properties that an old systemd does not know are left
// out one by one. After an error the unit may be somebody else's of
// the same name: see Description before it is stopped. Errors are *fault.Error. It gives up
// when the process of a pidfd ends, whose scope is waited for; -1 is none.
func (j *Job) Wait(ctx context.Context, pidfd int) error {
	defer func() { j.conn.ends = nil }()
	for deadline := time.Now().Add(callLimit); ; {
		if pidfd >= 0 {
			j.conn.ends = []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		}
		body, err := j.conn.answer(ctx, j.call, time.Until(deadline))
		var result string
		var job dbus.ObjectPath
		if err == nil {
			if err = dbus.Store(body, &job); err == nil {
				result, err = j.conn.ended(ctx, job, deadline)
			}
		} else if refusal, ok := asRefusal(err); ok {
			if err := j.again(ctx, refusal); err != nil {
				return err
			}
			continue
		} else if errors.Is(err, errMoved) {
			if err = j.request(ctx); err == nil {
				continue
			}
		}
		if err != nil {
			return failed("start", j.unit, err)
		}
		return j.verdict(result)
	}
}

// asRefusal takes what the manager answered, in place of doing what it was asked.
func asRefusal(err error) (e dbus.Error, ok bool) { return e, errors.As(err, &e) }

// ended waits for the end of a job that is watched, and says its result.
func (c *Conn) ended(ctx context.Context, job dbus.ObjectPath, deadline time.Time) (string, error) {
	for {
		if result, over := c.results[job]; over {
			return result, nil
		}
		if _, err := c.next(ctx, deadline); err != nil {
			return "", err
		}
	}
}

// answer waits for the answer to a call, and is its body. A dbus.Error is what the other
// side said, errMoved that there is another one.
func (c *Conn) answer(ctx context.Context, serial uint32, limit time.Duration) ([]any, error) {
	if c.hello != 0 {
		if err := c.greeted(ctx); err != nil {
			return nil, c.elsewhere(ctx, err)
		}
	}
	body, err := c.reply(ctx, serial, limit)
	switch refusal, refused := asRefusal(err); {
	case refused && slices.Contains([]string{errNoService, errNoOwner, errNoReply}, refusal.Name), errors.Is(err, errLost):
		return nil, c.elsewhere(ctx, err)
	case refused, err == nil:
		c.unproven = nil
	}
	return body, err
}

// reply reads up to the answer to a call.
func (c *Conn) reply(ctx context.Context, serial uint32, limit time.Duration) ([]any, error) {
	for deadline := time.Now().Add(limit); ; {
		m, err := c.next(ctx, deadline)
		if err != nil {
			return nil, err
		}
		if to, _ := m.Headers[dbus.FieldReplySerial].Value().(uint32); to != serial {
			continue
		}
		switch m.Type {
		case dbus.TypeError:
			name, _ := m.Headers[dbus.FieldErrorName].Value().(string)
			return nil, dbus.Error{Name: name, Body: m.Body}
		case dbus.TypeMethodReply:
			return m.Body, nil
		}
	}
}

// next reads a message. The result of a job is noted. Who talks all the time ends no
// later than who is silent.
func (c *Conn) next(ctx context.Context, deadline time.Time) (*dbus.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if time.Now().After(deadline) {
		return nil, context.DeadlineExceeded
	}
	m, err := c.receive(ctx, deadline)
	if err == nil && m.Type == dbus.TypeSignal && c.results != nil {
		removed(m, c.results)
	}
	return m, err
}

// removed notes the result of a job: JobRemoved(u id, o job, s unit, s result).
func removed(signal *dbus.Message, results map[dbus.ObjectPath]string) {
	if member, _ := signal.Headers[dbus.FieldMember].Value().(string); member != jobRemoved || len(signal.Body) != 4 {
		return
	}
	job, ok := signal.Body[1].(dbus.ObjectPath)
	result, ok2 := signal.Body[3].(string)
	if ok && ok2 {
		results[job] = result
	}
}

func (j *Job) verdict(result string) error {
	if result == "done" {
		return nil
	}
	return because("start", j.unit, "the job ended with result "+result, "")
}

// again repairs the request and sends it once more, or says why it cannot.
func (j *Job) again(ctx context.Context, err dbus.Error) error {
	p, unknown := refused(j.list, err)
	switch {
	case err.Name == errUnitExists && !j.reset:
		j.reset = true
		if err := j.conn.ResetFailed(ctx, j.unit); err != nil {
			return err
		}
	case unknown && len(j.dropped) < maxDropped:
		j.list = without(j.list, p.Name)
		j.dropped = append(j.dropped, p)
	default:
		return failed("start", j.unit, err)
	}
	if err := j.send(ctx, &bytes.Buffer{}); err != nil {
		return failed("start", j.unit, err)
	}
	return nil
}

func without(list []systemd.Property, name string) []systemd.Property {
	return slices.DeleteFunc(slices.Clone(list), func(p systemd.Property) bool { return p.Name == name })
}

// refused finds the property that systemd does not know. It answers
// PropertyReadOnly with "Cannot set property NAME, or unknown property.".
func refused(list []systemd.Property, err error) (systemd.Property, bool) {
	name, text := details(err)
	if name != "org.freedesktop.DBus.Error.PropertyReadOnly" && name != "org.freedesktop.DBus.Error.UnknownProperty" {
		return systemd.Property{}, false
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,.'\"", r) })
	for _, p := range list {
		if slices.Contains(words, p.Name) && !isEssential(p.Name) {
			return p, true
		}
	}
	return systemd.Property{}, false
}

// call calls a method of the manager, waits for its answer, and stores what is in it.
func (c *Conn) call(ctx context.Context, method string, results []any, args ...any) error {
	return c.do(ctx, methodCall(destination, object, manager+method, args...), results...)
}

func (c *Conn) do(ctx context.Context, m *dbus.Message, results ...any) error {
	serial, err := c.send(ctx, m)
	var body []any
	if err == nil {
		body, err = c.answer(ctx, serial, callLimit)
	} else if errors.Is(err, errLost) {
		err = c.elsewhere(ctx, err)
	}
	if errors.Is(err, errMoved) {
		return c.do(ctx, m, results...)
	}
	if err != nil || len(results) == 0 {
		return err
	}
	return dbus.Store(body, results...)
}

// send sends a call, whose answer has this number.
func (c *Conn) send(ctx context.Context, m *dbus.Message) (serial uint32, err error) {
	var out bytes.Buffer
	if serial, err = c.add(&out, m); err != nil {
		return 0, err
	}
	return serial, c.write(ctx, out.Bytes())
}

// property asks for a property of an object of the manager's.
func (c *Conn) property(ctx context.Context, path dbus.ObjectPath, kind, name string) (any, error) {
	var answer dbus.Variant
	err := c.do(ctx, get(path, kind, name), &answer)
	return answer.Value(), err
}

func get(path dbus.ObjectPath, kind, name string) *dbus.Message {
	return methodCall(destination, path, "org.freedesktop.DBus.Properties.Get", destination+"."+kind, name)
}

// SetProperties changes a unit that runs, until it ends (runtime): for update,
// so that a daemon-reload does not bring old limits back. Properties that this
// systemd does not know come back as dropped, to be written to files instead.
// Errors are *fault.Error.
func (c *Conn) SetProperties(ctx context.Context, unit string, list []systemd.Property) (dropped []systemd.Property, err error) {
	list = systemd.Changeable(list)
	for len(list) > 0 {
		err := c.call(ctx, "SetUnitProperties", nil, unit, true, variants(list))
		if err == nil {
			break
		}
		p, ok := refused(list, err)
		if !ok {
			return dropped, failed("set properties of", unit, err)
		}
		list = without(list, p.Name)
		dropped = append(dropped, p)
	}
	return dropped, nil
}

// Release asks for a unit to be stopped in which no process is left, and waits for the
// manager's answer, after which the job is done by the time another caller is answered. (A
// manager does nothing for one who has left the bus.) A unit that systemd does not know is
// no error. Errors are *fault.Error.
func (c *Conn) Release(ctx context.Context, unit string) error {
	err := c.do(ctx, stopUnit(unit))
	if err == nil || isUnknown(err) {
		return nil
	}
	return failed("stop", unit, err)
}

func stopUnit(unit string) *dbus.Message {
	return methodCall(destination, object, manager+"StopUnit", unit, "replace")
}

// Stop stops a unit, waits for it to be gone, and forgets its failure. Kill its
// processes first (live.Dir.Kill), else this takes up to TimeoutStopUSec.
// A unit that systemd does not know is no error. Errors are *fault.Error.
func (c *Conn) Stop(ctx context.Context, unit string) error {
	var out bytes.Buffer
	err := c.Prove(ctx)
	if err == nil {
		err = c.addWatch(&out, unit)
	}
	if err == nil {
		err = c.write(ctx, out.Bytes())
	}
	if err != nil {
		return failed("stop", unit, err)
	}
	var job dbus.ObjectPath
	if err := c.do(ctx, stopUnit(unit), &job); isUnknown(err) {
		return nil
	} else if err != nil {
		return failed("stop", unit, err)
	}
	if _, err := c.ended(ctx, job, time.Now().Add(callLimit)); err != nil {
		return failed("stop", unit, err)
	}
	return c.ResetFailed(ctx, unit)
}

// Description asks for a unit's Description=, by which its maker knows it; a unit
// that does not exist has its name for one. Errors are *fault.Error.
func (c *Conn) Description(ctx context.Context, unit string) (string, error) {
	answer, err := c.property(ctx, object+"/unit/"+dbus.ObjectPath(sdbus.PathBusEscape(unit)), "Unit", "Description")
	if err != nil {
		return "", failed("look at", unit, err)
	}
	text, _ := answer.(string)
	return text, nil
}

// ResetFailed forgets that a unit failed, which frees its name. A unit that
// systemd does not know is no error. Errors are *fault.Error.
func (c *Conn) ResetFailed(ctx context.Context, unit string) error {
	err := c.call(ctx, "ResetFailedUnit", nil, unit)
	if err == nil || isUnknown(err) {
		return nil
	}
	return failed("reset", unit, err)
}

// Delegated asks whether the service or scope that a process is in has
// Delegate=yes. pid is in systemd's pid namespace; 0 is the caller. Errors are
// *fault.Error. It costs two round trips, and is needed for units of a user
// manager only (cgroupv2.Delegation.Maybe).
func (c *Conn) Delegated(ctx context.Context, pid uint32) (bool, error) {
	unit, kind, err := c.unitOf(ctx, pid)
	if err != nil {
		return false, failed("find own unit", "", err)
	}
	answer, err := c.property(ctx, unit, kind, "Delegate")
	if err != nil {
		return false, failed("ask for Delegate of", string(unit), err)
	}
	delegated, _ := answer.(bool)
	return delegated, nil
}

// UnitOf asks which service or scope a process is in, and which cgroup that has, below
// the mount point. Errors are *fault.Error.
func (c *Conn) UnitOf(ctx context.Context, pid uint32) (name, group string, err error) {
	unit, kind, err := c.unitOf(ctx, pid)
	if err != nil {
		return "", "", failed("find the unit of the container", "", err)
	}
	id, err := c.property(ctx, unit, "Unit", "Id")
	if err != nil {
		return "", "", failed("ask for the name of", string(unit), err)
	}
	answer, err := c.property(ctx, unit, kind, "ControlGroup")
	if err != nil {
		return "", "", failed("ask for the cgroup of", string(unit), err)
	}
	name, _ = id.(string)
	group, _ = answer.(string)
	return name, group, nil
}

// unitOf is the unit of a process, and the interface that has a unit's cgroup.
func (c *Conn) unitOf(ctx context.Context, pid uint32) (unit dbus.ObjectPath, kind string, err error) {
	if err := c.call(ctx, "GetUnitByPID", []any{&unit}, pid); err != nil {
		return "", "", err
	}
	if strings.HasSuffix(string(unit), "_2escope") {
		return unit, "Scope", nil
	}
	return unit, "Service", nil
}

// Attach has systemd move processes into a unit, or into the cgroup sub below
// it, which must exist ("" for the unit's own): the way for exec when the caller's cgroup and the
// unit have no common ancestor that the caller may write (an ssh session's
// scope). It is refused from another PID namespace than systemd's. Errors are
// *fault.Error.
func (c *Conn) Attach(ctx context.Context, unit, sub string, pids ...uint32) error {
	if err := c.sharesNumbers(); err != nil {
		return failed("attach processes to", unit, err)
	}
	if sub != "" && !strings.HasPrefix(sub, "/") {
		sub = "/" + sub
	}
	if err := c.call(ctx, "AttachProcessesToUnit", nil, unit, sub, pids); err != nil {
		return failed("attach processes to", unit, err)
	}
	return nil
}
