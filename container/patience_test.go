package container

import (
	"testing"
	"time"
)

// TestPatience: of one container who records its end is waited for as long as each time;
// the containers of a list share that.
func TestPatience(t *testing.T) {
	one := &beside{}
	if first, second := one.patience(), one.patience(); first != reapLimit || second != reapLimit {
		t.Errorf("one: %v, %v", first, second)
	}
	all := &beside{list: true}
	first := all.patience()
	time.Sleep(time.Millisecond)
	if second := all.patience(); first > reapLimit || first < reapLimit/2 || second >= first {
		t.Errorf("a list: %v, then %v", first, second)
	}
	all.until = time.Now().Add(-time.Second)
	if late := all.patience(); late != 0 {
		t.Errorf("a list that has waited: %v", late)
	}
}
