package strace

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/stage"
	"golang.org/x/sys/unix"
)

// runOperations starts a stage that runs the operations of the table, and waits for
// its end. Their plan is written to a file first.
func runOperations(dir string) error {
	p, err := operations()
	if err == nil {
		err = print(filepath.Join(dir, "plan.json"), p)
	}
	if err != nil {
		return err
	}
	var report, sync [2]int
	if err := unix.Pipe2(report[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	if err := unix.Pipe2(sync[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	files := []uintptr{0, 1, 2, uintptr(report[1]), uintptr(sync[0])}
	s, err := stage.Start(stage.Config{Plan: p, Files: files, Name: "stage"})
	if err != nil {
		return err
	}
	rec, err := stage.ReadRecord(report[0])
	if err != nil {
		return err
	}
	if rec.Failed {
		step := stage.Step(p, rec)
		return fmt.Errorf("step %d, %s, returned %d", step+1, p.Text(step), rec.Result)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(s.PID, &status, 0, nil); err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("the stage ended with %#x", int(status))
	}
	return nil
}

func print(name string, p *plan.Plan) error {
	out := printed{Inputs: map[string]int{}}
	p = p.WithValues() // as strace -v
	for i := range p.Len() {
		out.Steps = append(out.Steps, printedStep{p.Text(i), p.Line(i)})
	}
	for _, in := range p.Inputs() {
		out.Inputs[in.Name] = in.FD
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o600)
}
