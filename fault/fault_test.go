package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestError(t *testing.T) {
	for want, e := range map[string]*Error{
		"mount /srv on /data (mounts[4]): denied": {What: "mount /srv on /data", Place: "mounts[4]", Why: "denied", Code: "C", Step: "s", Hint: "h"},
		"a.json:3:7: root.path: is empty":         {File: "a.json", Line: 3, Column: 7, Place: "root.path", Why: "is empty"},
		"3:7: root.path: is empty":                {Line: 3, Column: 7, Place: "root.path", Why: "is empty"},
		"a.json: is empty":                        {File: "a.json", Why: "is empty"},
		"a.json":                                  {File: "a.json", Column: 7},
		"config.json: a":                          {File: "config.json", Place: "a"},
		"what: why":                               {What: "what", Why: "why"},
		"what (place)":                            {What: "what", Place: "place"},
		"why":                                     {Why: "why"},
		"":                                        {},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
}

func TestUnwrap(t *testing.T) {
	missing := &Error{Errno: unix.ENOENT}
	if !errors.Is(missing, fs.ErrNotExist) || !errors.Is(missing, unix.ENOENT) {
		t.Error("the errno is not found")
	}
	if caused := (&Error{Errno: unix.ENOENT, Cause: fs.ErrPermission}); !errors.Is(caused, fs.ErrPermission) || errors.Is(caused, fs.ErrNotExist) {
		t.Error("not the cause is found, or not it alone")
	}
	if (&Error{}).Unwrap() != nil {
		t.Error("an error without a reason has one")
	}
}

// TestAll: errors are found however they are wrapped, outermost first, and the search
// ends where it is told to.
func TestAll(t *testing.T) {
	inner := &Error{What: "3", Hint: "of 3", Code: "C", Step: "S"}
	list := errors.Join(errors.New("other"), fmt.Errorf("wrapped: %w", &Error{What: "2", Cause: fmt.Errorf("%w, %w", inner, unix.EIO)}), &Error{What: "4", Hint: "of 4"})
	err := fmt.Errorf("at last: %w", &Error{What: "1", Cause: list})
	var found []string
	for e := range All(err) {
		found = append(found, e.What)
	}
	if want := []string{"1", "2", "3", "4"}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	if got := Hint(err); got != "of 3" || Code(err) != "C" || !slices.Contains(Details(err), Detail{"step", "S"}) {
		t.Errorf("the hint is %q", got)
	}
	if Hint(unix.EIO) != "" || Hint(nil) != "" {
		t.Error("an error that is none of ours has a hint")
	}
}
