package stage

import (
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

var errTooLong = errors.New("the plan is too long for the stage")

// NewRest makes the empty file that a plan's second part will be written to,
// and returns its descriptor. The stage gets it as the plan's input, and maps
// it; it is never executed. Kernels before 6.3 do not know MFD_NOEXEC_SEAL.
func NewRest() (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("homerun", flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate("homerun", flags)
	}
	if err != nil {
		return -1, fmt.Errorf("make a memfd for the plan: %w", err)
	}
	return fd, nil
}

// WriteRest writes the second part of the whole plan to the descriptor from
// NewRest, and seals it. It comes before the signal that the stage awaits.
func (s Stage) WriteRest(fd int, whole *plan.Plan) error {
	r := s.encoding.Rest(whole)
	if int(r.DataAt)+len(r.Data) > plan.RestAddress+plan.RestSize {
		return errTooLong
	}
	err := writeAll(fd, r.Code, int64(r.CodeAt-plan.RestAddress))
	if err == nil {
		err = writeAll(fd, r.Data, int64(r.DataAt-plan.RestAddress))
	}
	if err != nil {
		return fmt.Errorf("write the plan to a memfd: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal the plan's memfd: %w", err)
	}
	return nil
}

// Step is the index of the step that a record of a stage's failure names.
func Step(p *plan.Plan, r Record) int { return p.Index(r.Index, base+recordsAt(code())) }

// End is the number after that of the plan's last record.
func End(p *plan.Plan) int { return p.Record(p.Len(), base+recordsAt(code())) }
