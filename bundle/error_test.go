package bundle

import (
	"errors"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
)

func TestDecodeErrors(t *testing.T) {
	deep := `{"x":` + strings.Repeat("[", 1001)
	for _, test := range []struct{ raw, want string }{
		{"", "1:1: expected an object, found the end of the file"},
		{"\n  ", "2:3: expected an object, found the end of the file"},
		{"null", "1:1: expected an object, found null"},
		{"[]", "1:1: expected an object, found an array"},
		{"{", "1:2: expected a property name, found the end of the file"},
		{"{}x", "1:3: expected the end of the file, found 'x'"},
		{"{} {}", "1:4: expected the end of the file, found an object"},
		{"{,}", "1:2: expected a property name, found ','"},
		{`{"a":1,}`, "1:8: expected a property name, found '}'"},
		{`{"a" 1}`, "1:6: expected ':', found a number"},
		{`{"a":1 "b":2}`, "1:8: expected ',' or '}', found a string"},
		{`{"a":}`, "1:6: a: expected a value, found '}'"},
		{`{"a":nul}`, "1:6: a: expected a value, found 'n'"},
		{`{"a":nulll}`, "1:10: expected ',' or '}', found 'l'"},
		{"{\"a\":\xff}", "1:6: a: expected a value, found '\uFFFD'"},
		{`{"a":[1 2]}`, "1:9: a: expected ',' or ']', found a number"},
		{`{"a":[1,]}`, "1:9: a[1]: expected a value, found ']'"},
		{`{"a":[01]}`, "1:8: a: expected ',' or ']', found a number"},
		{`{"a":-}`, "1:7: a: expected a digit, found '}'"},
		{`{"a":1.}`, "1:8: a: expected a digit, found '}'"},
		{`{"a":1e+}`, "1:9: a: expected a digit, found '}'"},
		{`{"a":"x`, "1:8: a: the string has no end"},
		{`{"a":"\`, "1:8: a: the string has no end"},
		{`{"a":"\x"}`, "1:7: a: unknown escape: 'x'"},
		{`{"a":"\u12"}`, "1:7: a: \\u without four hexadecimal digits"},
		{`{"a":"\u123` + "\x10\"}", "1:7: a: \\u without four hexadecimal digits"},
		{"{\"a\":\"x\ny\"}", "1:8: a: control character '\\n' in a string"},
		{deep, "1:1005: x" + strings.Repeat("[0]", 999) + ": nested deeper than 1000"},
		{"{\n \"process\": {\n  \"args\": \"sh\"}}", "3:11: process.args: expected an array, found a string"},
		{`{"process":{"args":["a"`, "1:24: process.args: expected ',' or ']', found the end of the file"},
		{`{"process":{"args":["a",`, "1:25: process.args[1]: expected a string, found the end of the file"},
		{`{"mounts":[{},{"options":["a",{}]}]}`, "1:31: mounts[1].options[1]: expected a string, found an object"},
		{`{"process":{"terminal":1}}`, "1:24: process.terminal: expected true or false, found a number"},
		{`{"process":{"terminal":"true"}}`, "1:24: process.terminal: expected true or false, found a string"},
		{`{"hostname":true}`, "1:13: hostname: expected a string, found true"},
		{`{"process":[]}`, "1:12: process: expected an object, found an array"},
		{`{"annotations":[]}`, "1:16: annotations: expected an object, found an array"},
		{`{"annotations":{"a.b":1}}`, `1:23: annotations["a.b"]: expected a string, found a number`},
		{`{"linux":{"seccomp":"x"}}`, "1:21: linux.seccomp: expected an object, found a string"},
		{`{"linux":{"seccomp":{"a":x}}}`, "1:26: linux.seccomp.a: expected a value, found 'x'"},
		{`{"windows":{"a":x}}`, "1:17: windows.a: expected a value, found 'x'"},
		{`{"process":{"oomScoreAdj":"5"}}`, "1:27: process.oomScoreAdj: expected an integer, found a string"},
		{`{"process":{"user":{"uid":1e3}}}`, "1:27: process.user.uid: expected an integer of type uint32, found 1e3"},
		{`{"process":{"user":{"uid":1.0}}}`, "1:27: process.user.uid: expected an integer of type uint32, found 1.0"},
		{`{"process":{"user":{"uid":-1}}}`, "1:27: process.user.uid: -1 is out of range for uint32"},
		{`{"process":{"user":{"uid":4294967296}}}`, "1:27: process.user.uid: 4294967296 is out of range for uint32"},
		{`{"process":{"user":{"additionalGids":[1,99999999999]}}}`, "1:41: process.user.additionalGids[1]: 99999999999 is out of range for uint32"},
		{`{"linux":{"resources":{"blockIO":{"weight":65536}}}}`, "1:44: linux.resources.blockIO.weight: 65536 is out of range for uint16"},
		{`{"linux":{"resources":{"memory":{"limit":9223372036854775808}}}}`, "1:42: linux.resources.memory.limit: 9223372036854775808 is out of range for int64"},
		{`{"process":{"scheduler":{"nice":` + strings.Repeat("1", 50) + `}}}`, "1:33: process.scheduler.nice: " + strings.Repeat("1", 40) + "... is out of range for int32"},
	} {
		_, err := Decode([]byte(test.raw))
		if err == nil || err.Error() != test.want {
			t.Errorf("%.80s\n got %v\nwant %s", test.raw, err, test.want)
		}
	}
}

func TestDecodeLimits(t *testing.T) {
	b, err := Decode([]byte(`{"x":` + strings.Repeat("[", 999) + strings.Repeat("]", 999) + `,
		"process":{"oomScoreAdj":-0,"user":{"uid":-0,"gid":4294967295},"rlimits":[{"hard":18446744073709551615}]},
		"linux":{"resources":{"memory":{"limit":-9223372036854775808,"swap":9223372036854775807}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	p, memory := b.Config.Process, b.Config.Linux.Resources.Memory
	if p.User.GID != 1<<32-1 || p.Rlimits[0].Hard != 1<<64-1 || *memory.Limit != -1<<63 || *memory.Swap != 1<<63-1 {
		t.Errorf("got %+v %+v", p, memory)
	}
}

func TestDecodePartErrors(t *testing.T) {
	_, process := DecodeProcess([]byte(`{"args":[1]}`))
	_, resources := DecodeResources([]byte(`{"pids":{"limit":"1"}}`))
	_, seccomp := DecodeSeccomp([]byte(`{"syscalls":[{"names":{}}]}`))
	for want, err := range map[string]error{
		"1:10: args[0]: expected a string, found a number":            process,
		"1:18: pids.limit: expected an integer, found a string":       resources,
		"1:23: syscalls[0].names: expected an array, found an object": seccomp,
	} {
		var typed *fault.Error
		if !errors.As(err, &typed) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
