package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/rootless-containers/rootlesskit/v3/pkg/port/builtin"
	"golang.org/x/sys/unix"
)

// inside is this program in the container's namespaces.
func inside(arguments []string) int {
	var err error
	switch {
	case len(arguments) == 2 && arguments[0] == innerPorts:
		err = dialForever(arguments[1])
	case len(arguments) == 1 && arguments[0] == innerAcceptDAD:
		err = acceptDAD()
	default:
		err = fmt.Errorf("inside: %q", arguments)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "homerun-net: inside:", err)
		return 1
	}
	return 0
}

// dialForever is the half inside of rootlesskit's port driver: it dials the
// container's ports and hands the connections out. It ends with its input.
func dialForever(opaque string) error {
	unix.CloseOnExec(3)
	var m map[string]string
	if err := json.Unmarshal([]byte(opaque), &m); err != nil {
		return err
	}
	// rootlesskit sets it, too, by sysctl(8), which not every host has.
	// Without it answers to kept source addresses leave by the default route.
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_fwmark_accept", []byte("1"), 0); err != nil {
		fmt.Fprintln(os.Stderr, "homerun-net: inside:", err)
	}
	quit := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(quit)
	}()
	return builtin.NewChildDriver(boundedLog()).RunChildDriver(m, quit, "")
}

// acceptDAD holds accept_dad at 0 as long as its input is open. Descriptor 4
// says that it is.
func acceptDAD() error {
	const path = "/proc/sys/net/ipv6/conf/default/accept_dad"
	old, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte("0"), 0)
	}
	if err != nil {
		return err
	}
	ready := os.NewFile(4, "ready")
	ready.Write([]byte("1"))
	ready.Close()
	io.Copy(io.Discard, os.Stdin)
	return os.WriteFile(path, old, 0)
}
