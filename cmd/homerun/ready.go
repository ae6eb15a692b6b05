package main

import (
	"fmt"

	"github.com/homerun-oci/homerun/container"
)

// flagReady is podman's name for who says that a service is ready.
const flagReady = "sdnotify"

// parseReady reads --sdnotify, whose values are podman's, too.
func parseReady(s string) (container.Ready, error) {
	switch r := container.Ready(s); r {
	case "", container.ReadyByProgram, container.ReadyAtStart, container.ReadyIgnored:
		return r, nil
	case "conmon":
		return container.ReadyAtStart, nil
	}
	return "", fmt.Errorf("--sdnotify %q: want container, start or ignore", s)
}
