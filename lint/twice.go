package lint

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/homerun-oci/homerun/jsonread"
)

// Twice lists the members that an object has more than once, of which readers take
// one. The document must be one that can be read.
func Twice(raw []byte) []Finding {
	var list []Finding
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	_ = twice(d, "", &list)
	return list
}

// twice reads one value.
func twice(d *json.Decoder, path string, list *[]Finding) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	seen := map[string]int{}
	for i := 0; token == json.Delim('{') || token == json.Delim('['); i++ {
		if !d.More() {
			_, err = d.Token() // its end
			return err
		}
		inside := fmt.Sprintf("%s[%d]", path, i)
		if token == json.Delim('{') {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := key.(string)
			inside = jsonread.Keyed(path, name)
			if seen[name]++; seen[name] == 2 {
				*list = append(*list, Finding{Kind: KindIgnored, Place: inside, Message: "this is here more than once, and one of them is ignored", Advice: "leave one"})
			}
		}
		if err := twice(d, inside, list); err != nil {
			return err
		}
	}
	return nil
}
