package compile

import (
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	"golang.org/x/sys/unix"
)

// openLabels is for the first process, which has only seen the host.
func (c *compiler) openLabels() error {
	labeled, err := process.Labeled(c.spec.Process, c.facts.LSM)
	if labeled && err == nil {
		c.procfs = process.OpenProc(c.b)
	}
	return err
}

// labels is for the process itself, before anything of the container exists.
func (c *compiler) labels() {
	if c.procfs != 0 {
		process.Labels(c.b, c.procfs, c.spec.Process, c.facts.LSM)
	}
}

// labelKeys labels the keys that are made from now on as the container; an
// empty label ends that.
func (c *compiler) labelKeys(label string) {
	if c.procfs == 0 || c.spec.Process.SelinuxLabel == "" {
		return
	}
	if label == "" {
		label = "\n"
	}
	process.KeyLabel(c.b, c.procfs, label)
}

// explainLabel words what security modules answer.
func explainLabel(e *explanation, op plan.Operation, _ *host.Facts) bool {
	_, writes := op.(plan.Write)
	switch {
	case e.step.Purpose == plan.ForAppArmor && !writes:
		return false
	case e.step.Purpose == plan.ForAppArmor && e.Errno == unix.ENOENT:
		e.because("the profile is not loaded")
		e.Hint = "load it with apparmor_parser; aa-status lists what is loaded"
	case e.step.Purpose == plan.ForAppArmor && (e.Errno == unix.EACCES || e.Errno == unix.EPERM):
		e.Hint = "the profile that homerun itself runs under does not allow this change of profile"
	case e.step.Purpose == plan.ForSELinux && e.Errno == unix.EINVAL:
		e.because("the loaded policy does not know this label")
	case e.step.Purpose == plan.ForSELinux && e.Errno == unix.EACCES:
		e.Hint = "the policy does not let the domain that homerun runs in use this label; `ausearch -m avc` shows the denial"
	default:
		return false
	}
	return true
}
