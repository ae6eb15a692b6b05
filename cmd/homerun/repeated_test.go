package main

import (
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// TestRepeated: values are kept whole, in their order, and help speaks of the flag as of
// pflag's own.
func TestRepeated(t *testing.T) {
	var own, pflags []string
	flags, other := pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.VarP((*repeated)(&own), "env", "e", "add one")
	other.StringArrayVarP(&pflags, "env", "e", nil, "add one")
	if got, want := flags.FlagUsages(), other.FlagUsages(); got != want {
		t.Errorf("help is\n%s\nwant\n%s", got, want)
	}
	if err := flags.Parse([]string{"-e", "A=1,2", "--env=B=\"", "-eC"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"A=1,2", "B=\"", "C"}; !slices.Equal(own, want) {
		t.Errorf("got %q, want %q", own, want)
	}
}
