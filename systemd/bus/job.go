package bus

import (
	"context"
	"errors"
	"slices"
	"strings"

	sdbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/systemd"
	"golang.org/x/sys/unix"
)

const (
	destination = "org.freedesktop.systemd1"
	object      = dbus.ObjectPath("/org/freedesktop/systemd1")
	manager     = destination + ".Manager."
	jobRemoved  = manager + "JobRemoved"
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
	list    []systemd.Property
	dropped []systemd.Property
	call    *dbus.Call
	// reset is set once a unit in the way was reset.
	reset bool
}

// Start asks for a new transient unit and returns once the call was sent, so
// that the caller can do its mounts meanwhile. Its process, which takes the place
// of the property PIDs, is a child that was not waited for; a slice has none: 0.
// Only one job at a time may be waited for on a Conn. Errors are *fault.Error.
func (c *Conn) Start(unit string, process int, list []systemd.Property) (*Job, error) {
	list, err := c.withProcess(list, process)
	if errors.Is(err, unix.ESRCH) {
		err = dbus.Error{Name: errNoProcess}
	}
	if err != nil {
		return nil, failed("start", unit, err)
	}
	if err := c.watch(unit); err != nil {
		return nil, err
	}
	j := &Job{conn: c, unit: unit, list: list}
	j.send()
	return j, nil
}

// watch subscribes to the end of the unit's jobs. No reply is waited for:
// messages of one connection keep their order. On the private socket systemd
// sends every signal anyway, and there is no bus to ask.
func (c *Conn) watch(unit string) error {
	if c.at.private {
		return nil
	}
	rule := "type='signal',sender='" + destination + "',path='" + string(object) + "',interface='" +
		strings.TrimSuffix(manager, ".") + "',member='JobRemoved',arg2='" + unit + "'"
	call := c.bus.BusObject().Go("org.freedesktop.DBus.AddMatch", dbus.FlagNoReplyExpected, nil, rule)
	if call != nil && call.Err != nil {
		return failed("watch", unit, call.Err)
	}
	return nil
}

// variants gives properties the form a(sv), for which go-systemd has the type.
func variants(list []systemd.Property) []sdbus.Property {
	wire := make([]sdbus.Property, len(list))
	for i, p := range list {
		wire[i] = sdbus.Property{Name: p.Name, Value: dbus.MakeVariant(p.Value)}
	}
	return wire
}

// send makes the call. Mode fail: a job in the way is an error, never undone.
// What goes wrong while sending comes with the answer: until the call is Done
// another goroutine may write to it.
func (j *Job) send() {
	aux := []sdbus.PropertyCollection{}
	j.call = j.conn.bus.Object(destination, object).Go(manager+"StartTransientUnit", 0, make(chan *dbus.Call, 1),
		j.unit, "fail", variants(j.list), aux)
}

// Wait waits until the unit runs: its processes are then in its cgroup, and
// its limits hold as far as systemd may set them (prove it with
// live.Dir.Ensure). A unit of that name that failed before is reset and the
// start tried once more; properties that an old systemd does not know are left
// out one by one. After an error the unit may be somebody else's of
// the same name: see Description before it is stopped. Errors are *fault.Error.
func (j *Job) Wait(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	results := map[dbus.ObjectPath]string{}
	var job dbus.ObjectPath
	for {
		select {
		case <-ctx.Done():
			return failed("start", j.unit, ctx.Err())
		case <-j.call.Done:
			if j.call.Err == nil {
				j.call.Err = j.call.Store(&job)
			}
			if err := j.call.Err; err != nil {
				if err := j.again(ctx, err); err != nil {
					return err
				}
				continue
			}
			// A received Call is not sent again; nil blocks its case.
			j.call = &dbus.Call{}
		case signal, open := <-j.conn.signals:
			if !open {
				return failed("start", j.unit, errLost)
			}
			removed(signal, results)
		}
		if result, over := results[job]; over {
			return j.verdict(result)
		}
	}
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, callLimit)
}

// removed notes the result of a job: JobRemoved(u id, o job, s unit, s result).
func removed(signal *dbus.Signal, results map[dbus.ObjectPath]string) {
	if signal.Name != jobRemoved || len(signal.Body) != 4 {
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
func (j *Job) again(ctx context.Context, err error) error {
	name, _ := details(err)
	if name == errUnitExists && !j.reset {
		j.reset = true
		if err := j.conn.ResetFailed(ctx, j.unit); err != nil {
			return err
		}
		j.send()
		return nil
	}
	if p, ok := refused(j.list, err); ok && len(j.dropped) < maxDropped {
		j.list = without(j.list, p.Name)
		j.dropped = append(j.dropped, p)
		j.send()
		return nil
	}
	return failed("start", j.unit, err)
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

// call makes one call and waits for its answer.
func (c *Conn) call(ctx context.Context, method string, args ...any) *dbus.Call {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return c.bus.Object(destination, object).CallWithContext(ctx, manager+method, 0, args...)
}

// SetProperties changes a unit that runs, until it ends (runtime): for update,
// so that a daemon-reload does not bring old limits back. Properties that this
// systemd does not know come back as dropped, to be written to files instead.
// Errors are *fault.Error.
func (c *Conn) SetProperties(ctx context.Context, unit string, list []systemd.Property) (dropped []systemd.Property, err error) {
	list = systemd.Changeable(list)
	for len(list) > 0 {
		err := c.call(ctx, "SetUnitProperties", unit, true, variants(list)).Err
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

// Stop stops a unit, waits for it to be gone, and forgets its failure. Kill its
// processes first (live.Dir.Kill), else this takes up to TimeoutStopUSec.
// A unit that systemd does not know is no error. Errors are *fault.Error.
func (c *Conn) Stop(ctx context.Context, unit string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := c.watch(unit); err != nil {
		return err
	}
	var job dbus.ObjectPath
	err := c.call(ctx, "StopUnit", unit, "replace").Store(&job)
	if isUnknown(err) {
		return nil
	}
	if err != nil {
		return failed("stop", unit, err)
	}
	results := map[dbus.ObjectPath]string{}
	for results[job] == "" {
		select {
		case <-ctx.Done():
			return failed("stop", unit, ctx.Err())
		case signal, open := <-c.signals:
			if !open {
				return failed("stop", unit, errLost)
			}
			removed(signal, results)
		}
	}
	return c.ResetFailed(ctx, unit)
}

// Description asks for a unit's Description=, by which its maker knows it; a unit
// that does not exist has its name for one. Errors are *fault.Error.
func (c *Conn) Description(ctx context.Context, unit string) (string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var answer dbus.Variant
	err := c.bus.Object(destination, object+"/unit/"+dbus.ObjectPath(sdbus.PathBusEscape(unit))).CallWithContext(ctx,
		"org.freedesktop.DBus.Properties.Get", 0, destination+".Unit", "Description").Store(&answer)
	if err != nil {
		return "", failed("look at", unit, err)
	}
	text, _ := answer.Value().(string)
	return text, nil
}

// ResetFailed forgets that a unit failed, which frees its name. A unit that
// systemd does not know is no error. Errors are *fault.Error.
func (c *Conn) ResetFailed(ctx context.Context, unit string) error {
	err := c.call(ctx, "ResetFailedUnit", unit).Err
	if err == nil || isUnknown(err) {
		return nil
	}
	return failed("reset", unit, err)
}

// Delegated asks whether the service or scope that a process is in has
// Delegate=yes. pid is in systemd's pid namespace; 0 is the caller. Errors are
// *fault.Error. It costs two round trips, and is needed for services of a user
// manager only (cgroupv2.Delegation.Maybe).
func (c *Conn) Delegated(ctx context.Context, pid uint32) (bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var unit dbus.ObjectPath
	if err := c.call(ctx, "GetUnitByPID", pid).Store(&unit); err != nil {
		return false, failed("find own unit", "", err)
	}
	kind := "Service"
	if strings.HasSuffix(string(unit), "_2escope") {
		kind = "Scope"
	}
	var answer dbus.Variant
	err := c.bus.Object(destination, unit).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0,
		destination+"."+kind, "Delegate").Store(&answer)
	if err != nil {
		return false, failed("ask for Delegate of", string(unit), err)
	}
	delegated, _ := answer.Value().(bool)
	return delegated, nil
}

// Attach has systemd move processes into a unit, or into the cgroup sub below
// it, which must exist ("" for the unit's own): the way for exec when the caller's cgroup and the
// unit have no common ancestor that the caller may write (an ssh session's
// scope). It is refused from another PID namespace than systemd's. Errors are
// *fault.Error.
func (c *Conn) Attach(ctx context.Context, unit, sub string, pids ...uint32) error {
	if err := c.at.sharesNumbers(); err != nil {
		return failed("attach processes to", unit, err)
	}
	if sub != "" && !strings.HasPrefix(sub, "/") {
		sub = "/" + sub
	}
	if err := c.call(ctx, "AttachProcessesToUnit", unit, sub, pids).Err; err != nil {
		return failed("attach processes to", unit, err)
	}
	return nil
}

var errLost = errors.New("the connection to the service manager was lost")
