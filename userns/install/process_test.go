package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/host"
)

// TestSecondHangs: each helper that is left when the time is over is killed.
func TestSecondHangs(t *testing.T) {
	maps := fake("/bin/true")
	maps.GID = fake(hanging(t)).UID
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := mapAll(ctx, 1, maps, &host.Facts{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want deadline exceeded", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestSilent: a helper fails without a word, and leaves a child that has its standard error.
func TestSilent(t *testing.T) {
	program := filepath.Join(t.TempDir(), "newuidmap")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n/bin/sleep 5 &\nexit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := mapAll(t.Context(), 1, fake(program), &host.Facts{}); err == nil || !strings.HasSuffix(err.Error(), ": exit status 7") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
}
