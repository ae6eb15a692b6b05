//go:build cgo

// Homerun-seccomp compiles config.json's linux.seccomp to a BPF program with
// libseccomp. Package seccomp runs it and keeps its answers; people need it
// for --version only.
//
//	homerun-seccomp [--fail-unknown] <profile.json >program
//	homerun-seccomp --check [--fail-unknown] <profile.json   print the program
//	homerun-seccomp --features                               JSON for homerun features
//	homerun-seccomp --version
//
// The profile is the JSON value of linux.seccomp. The output is described at
// seccomp.EncodeOutput. A profile that cannot be compiled gives one line on
// standard error and exit status 1; a wrong command line gives status 2.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	libseccomp "github.com/seccomp/libseccomp-golang"

	"github.com/homerun-oci/homerun/seccomp"
)

const usage = "usage: homerun-seccomp [--check] [--fail-unknown] <profile.json | --features | --version"

// maxProfile bounds a profile, in bytes; docker's has 16 KB.
const maxProfile = 4 << 20

// kernelActions lists what the running kernel knows (Linux 4.14).
const kernelActions = "/proc/sys/kernel/seccomp/actions_avail"

func main() {
	answer, failUnknown := writeFilter, false
	for _, arg := range os.Args[1:] {
		switch arg {
		case "--version":
			fmt.Printf("homerun-seccomp (protocol 1)\nlibseccomp %s\n", libraryVersion())
			return
		case "--features":
			exit(printFeatures())
		case "--check":
			answer = printFilter
		case "--fail-unknown":
			failUnknown = true
		default:
			fmt.Fprintln(os.Stderr, usage)
			os.Exit(2)
		}
	}
	exit(run(answer, failUnknown))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "homerun-seccomp: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		os.Exit(1)
	}
	os.Exit(0)
}

func run(answer func(*seccomp.Filter) error, failUnknown bool) error {
	raw, err := io.ReadAll(io.LimitReader(os.Stdin, maxProfile+1))
	if err != nil {
		return err
	}
	if len(raw) > maxProfile {
		return fmt.Errorf("linux.seccomp: longer than %d bytes", maxProfile)
	}
	f, err := compile(raw, failUnknown)
	if err != nil {
		return err
	}
	return answer(f)
}

// writeFilter answers homerun.
func writeFilter(f *seccomp.Filter) error {
	output, err := seccomp.EncodeOutput(f, libraryNumber())
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(output)
	return err
}

func compile(raw []byte, failUnknown bool) (*seccomp.Filter, error) {
	p, err := readProfile(raw)
	if err != nil {
		return nil, err
	}
	available, _ := os.ReadFile(kernelActions)
	if err := p.knownTo(string(available)); err != nil {
		return nil, err
	}
	return build(p, failUnknown)
}

// printFilter is for people.
func printFilter(f *seccomp.Filter) error {
	fmt.Printf("flags %#x listener %t libseccomp %s\n", f.Flags, f.Listener, libraryVersion())
	for _, line := range seccomp.Disassemble(f.Program) {
		fmt.Println(line)
	}
	return nil
}

// features is the seccomp object of `homerun features` (runtime specification,
// features-linux.md), and the library's version.
type features struct {
	Enabled       bool     `json:"enabled"`
	Actions       []string `json:"actions"`
	Operators     []string `json:"operators"`
	Architectures []string `json:"archs"`
	KnownFlags    []string `json:"knownFlags"`
	Library       string   `json:"libseccompVersion"`
}

func printFeatures() error {
	f := features{Enabled: true, Operators: seccomp.Operators(), Library: libraryVersion()}
	for _, a := range seccomp.Actions() {
		f.Actions = append(f.Actions, a.Name)
	}
	for _, a := range seccomp.Flags() {
		f.KnownFlags = append(f.KnownFlags, a.Name)
	}
	for _, a := range seccomp.Architectures() {
		if supports(a) {
			f.Architectures = append(f.Architectures, a)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// supports reports whether a profile may name an architecture: an old library
// knows fewer, and none mixes those of either byte order in one filter.
func supports(arch string) bool {
	_, err := compile([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["`+arch+`"],`+
		`"syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO"}]}`), false)
	return err == nil
}

func libraryNumber() uint32 {
	major, minor, micro := libseccomp.GetLibraryVersion()
	return uint32(major<<16 | minor<<8 | micro)
}

func libraryVersion() string {
	major, minor, micro := libseccomp.GetLibraryVersion()
	return fmt.Sprintf("%d.%d.%d", major, minor, micro)
}
