package main

import "strings"

// repeated is a flag that may be given several times. pflag's own writes its default as
// CSV, whose buffers cost a hundredth of a short run's time.
type repeated []string

func (r *repeated) String() string { return strings.Join(*r, " ") }
func (r *repeated) Type() string   { return "stringArray" }
func (r *repeated) Set(s string) error {
	*r = append(*r, s)
	return nil
}
