package cgroupv2

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Access bits and device types of BPF_PROG_TYPE_CGROUP_DEVICE (linux/bpf.h).
const (
	AccessMknod = 1 << iota
	AccessRead
	AccessWrite

	accessAll = AccessMknod | AccessRead | AccessWrite

	typeBlock = 1
	typeChar  = 2
)

// wildcard stands for every major or minor number.
const wildcard = -1

// DeviceRule is one entry of linux.resources.devices, checked.
type DeviceRule struct {
	Allow bool
	// Type is 'a' (all), 'b' or 'c'.
	Type byte
	// Major and Minor are -1 for every number.
	Major, Minor int64
	// Access is a set of AccessMknod, AccessRead, AccessWrite.
	Access uint32
}

// defaultDevices may always be used, whatever config.json says: the
// specification's default devices, ptys, /dev/net/tun, and mknod of anything
// (a node is of no use while reading and writing it is denied).
var defaultDevices = []DeviceRule{
	{true, 'c', wildcard, wildcard, AccessMknod},
	{true, 'b', wildcard, wildcard, AccessMknod},
	{true, 'c', 1, 3, accessAll},          // /dev/null
	{true, 'c', 1, 5, accessAll},          // /dev/zero
	{true, 'c', 1, 7, accessAll},          // /dev/full
	{true, 'c', 1, 8, accessAll},          // /dev/random
	{true, 'c', 1, 9, accessAll},          // /dev/urandom
	{true, 'c', 5, 0, accessAll},          // /dev/tty
	{true, 'c', 5, 1, accessAll},          // /dev/console
	{true, 'c', 5, 2, accessAll},          // /dev/ptmx
	{true, 'c', 10, 200, accessAll},       // /dev/net/tun
	{true, 'c', 136, wildcard, accessAll}, // /dev/pts/*
}

// DeviceRules checks linux.resources.devices and appends the devices that may
// always be used. The last rule that matches decides, for each of the asked
// accesses on its own; what no rule matches is denied. Errors name their place in config.json.
//
// Only root in the first user namespace may attach the result
// (live.LoadDevices). Without that privilege nothing is lost: such a
// container has no device but what the caller may open anyway.
func DeviceRules(devices []specs.LinuxDeviceCgroup) ([]DeviceRule, error) {
	rules := make([]DeviceRule, 0, len(devices)+len(defaultDevices))
	for i, d := range devices {
		rule, reason := deviceRule(d)
		if reason != "" {
			return nil, fmt.Errorf("config.json: linux.resources.devices[%d]: %s", i, reason)
		}
		if rule.Access != 0 {
			rules = append(rules, rule)
		}
	}
	return append(rules, defaultDevices...), nil
}

func deviceRule(d specs.LinuxDeviceCgroup) (rule DeviceRule, reason string) {
	rule = DeviceRule{Allow: d.Allow, Type: 'a', Major: number(d.Major), Minor: number(d.Minor), Access: access(d.Access)}
	switch {
	case d.Type == "" || d.Type == "a":
		// As in cgroup v1: "a" is everything, whatever else is said.
		rule.Major, rule.Minor, rule.Access = wildcard, wildcard, accessAll
	case d.Type == "b" || d.Type == "c":
		rule.Type = d.Type[0]
	case d.Type == "u":
		rule.Type = 'c'
	default:
		return rule, "type " + strconv.Quote(d.Type) + " is none of a, b, c, u"
	}
	if !inRange(rule.Major) || !inRange(rule.Minor) {
		return rule, fmt.Sprintf("device %d:%d is out of range", rule.Major, rule.Minor)
	}
	return rule, ""
}

func number(n *int64) int64 {
	if n == nil {
		return wildcard
	}
	return *n
}

// inRange keeps numbers within what a BPF immediate holds without its sign
// being extended; the kernel's majors have 12 bits and minors 20.
func inRange(n int64) bool { return n >= wildcard && n <= math.MaxInt32 }

// access reads the letters r, w and m, in any order. Others mean nothing, as to
// other runtimes; package bundle warns of them.
func access(letters string) uint32 {
	if letters == "" {
		return accessAll
	}
	var bits uint32
	for i, letter := range "mrw" {
		if strings.ContainsRune(letters, letter) {
			bits |= 1 << i
		}
	}
	return bits
}

// everything is true for a rule that decides every access to every device.
func (r DeviceRule) everything() bool {
	return r.Type == 'a' && r.Major == wildcard && r.Minor == wildcard && r.Access == accessAll
}

// effective drops the rules that a later rule for everything overrides.
func effective(rules []DeviceRule) (rest []DeviceRule, otherwise bool) {
	for i, r := range slices.Backward(rules) {
		if r.everything() {
			return rules[i+1:], r.Allow
		}
	}
	return rules, false
}
