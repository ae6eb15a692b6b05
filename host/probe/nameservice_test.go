package probe

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/host"
)

// TestCancelledQuestion: a name service that does not answer is not waited for when
// the context has ended.
func TestCancelledQuestion(t *testing.T) {
	silent := filepath.Join(t.TempDir(), "getsubids")
	if err := os.WriteFile(silent, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if out, err := ask(ctx, silent, "user"); err == nil || time.Since(begun) > time.Second {
		t.Errorf("%q, %v after %s", out, err, time.Since(begun))
	}
	p, err := New([3]int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Measure(ctx, &host.Needs{Subordinate: "linux.uidMappings"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("facts that nobody waited for: %v", err)
	}
}
