package notify

import (
	"fmt"
	"strings"
)

// TellReady says READY=1 to the service manager at $NOTIFY_SOCKET for a program that
// does not do so itself, and waits until the manager has worked that off. mainPID, if
// not 0, is the process that the manager has to do with from now on.
func TellReady(upstream string, mainPID int) error {
	up, err := dial(upstream)
	if err != nil {
		return err
	}
	defer up.Close()
	words := []string{"READY=1"}
	if mainPID != 0 {
		words = append(words, fmt.Sprintf("MAINPID=%d", mainPID))
	}
	r := &Relay{upstream: up}
	if err := r.pass(strings.Join(words, "\n")); err != nil {
		return err
	}
	r.settle()
	return nil
}
