package container

import (
	"fmt"
	"strconv"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/store"
)

// keepSteps records the steps after the wait, by which a failure there is explained.
func (s *starting) keepSteps() error {
	if err := s.c.dir.WriteFile(store.StepsFile, stepsText(s.launch.Result.Tail())); err != nil {
		return fmt.Errorf("record the steps of start: %w", err)
	}
	return nil
}

// stepsText is steps.json, as encoding/json would write it but for what is empty. With
// that, create would take a fifteenth more of memory.
func stepsText(t compile.Tail) []byte {
	text := strconv.AppendInt([]byte(`{"total":`), int64(t.Total), 10)
	text = append(text, `,"steps":[`...)
	for i, s := range t.Steps {
		if i > 0 {
			text = append(text, ',')
		}
		text = store.AppendObject(text, store.Member{Name: "kind", Value: string(s.Kind)}, store.Member{Name: "path", Value: s.Path},
			store.Member{Name: "text", Value: s.Text}, store.Member{Name: "what", Value: s.What},
			store.Member{Name: "subject", Value: s.Subject}, store.Member{Name: "pointer", Value: s.Pointer})
	}
	return append(text, "]}"...)
}
