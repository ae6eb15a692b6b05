package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxSubject is in columns; git indents a subject by a few in most places.
const maxSubject = 72

// commitSubjects looks at the last commits, where the tree is a checkout.
func commitSubjects(t *tree) ([]finding, error) {
	if _, err := os.Stat(filepath.Join(t.root, ".git")); err != nil {
		return nil, nil // a tarball has no history
	}
	cmd := exec.Command("git", "log", "--no-merges", "-n", "30", "--format=%h %s")
	cmd.Dir = t.root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git log: %w", err)
	}
	form := regexp.MustCompile(`^(Revert "|[a-z0-9.][\w/.-]*(, [a-z0-9.][\w/.-]*)*: \S)`)
	var found []finding
	for line := range strings.Lines(string(out)) {
		hash, subject, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if n := utf8.RuneCountInString(subject); n > maxSubject {
			found = append(found, finding{where: "commit " + hash, what: fmt.Sprintf("subject has %d columns, at most %d", n, maxSubject)})
		}
		if !form.MatchString(subject) {
			found = append(found, finding{where: "commit " + hash, what: fmt.Sprintf("subject %q is not `area: what`", subject)})
		}
	}
	return found, nil
}

// outsideReferences finds names of folders that only one developer has. The
// pattern is put together so that it does not find itself.
func outsideReferences(t *tree) ([]finding, error) {
	outside := regexp.MustCompile(`\.\./` + `shared\b|(^|[\s"'` + "`" + `(=])/` + `work(/|[\s"'` + "`" + `)]|$)`)
	var found []finding
	for _, name := range t.files {
		text, err := t.text(name)
		if err != nil {
			return nil, err
		}
		number := 0
		for line := range strings.Lines(text) {
			number++
			if hit := outside.FindString(strings.TrimSuffix(line, "\n")); hit != "" {
				found = append(found, finding{where: fmt.Sprintf("%s:%d", name, number), what: fmt.Sprintf("names %q", strings.TrimSpace(hit))})
			}
		}
	}
	return found, nil
}
