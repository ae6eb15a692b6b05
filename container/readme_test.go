package container_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
)

// fromReadme is README.md's example, with what it leaves out: so it compiles.
func fromReadme(ctx context.Context) (int, error) {
	b, err := bundle.Load("web", "") // then b.Check()
	if err != nil {
		return 0, err
	}
	r, err := container.New(container.DefaultOptions(os.Getenv))
	if err != nil {
		return 0, err
	}
	p, err := r.Run(ctx, container.Request{ID: "web", Bundle: b, Streams: container.OwnStreams()})
	if err != nil {
		return 0, err
	}
	status, err := p.Wait(ctx)
	if err != nil {
		return 0, err
	}
	err = p.Delete(ctx)
	return status, err
}

// TestReadme: README.md says of the library what compiles.
func TestReadme(t *testing.T) {
	t.Chdir("..")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("container/readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```go\n")
	block, _, found := strings.Cut(block, "```")
	if !found || block == "" {
		t.Fatal("README.md has no example")
	}
	for line := range strings.Lines(block) {
		if !strings.Contains(string(self), "\n\t"+line) {
			t.Errorf("does not compile, as far as is known: %s", line)
		}
	}
	t.Chdir(t.TempDir())
	if _, err := fromReadme(t.Context()); err == nil {
		t.Error("a bundle that is not there was found")
	}
}
