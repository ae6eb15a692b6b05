package main

import (
	"context"
	"fmt"
	"os"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
)

func main() {
	b, err := bundle.Load(os.Args[1], "")
	if err == nil {
		_, err = bundle.Check(b.Config)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p, err := container.Start(context.Background(), container.Request{ID: "x", Bundle: b, Stdio: [3]int{0, 1, 2}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if s, ok := err.(interface{ Step() string }); ok {
			fmt.Fprintln(os.Stderr, s.Step())
		}
		os.Exit(1)
	}
	s, _ := p.Wait()
	os.Exit(s)
}
