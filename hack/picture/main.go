// Picture runs commands, one in each line of its standard input, and draws the terminal
// that shows them and what they print:
//
//	picture -o docs/terminal.svg <docs/terminal.txt
//
// So a picture in a document shows what the program does today. A command that fails is
// drawn as well; its exit status is not. Lines that begin with # are left out.
package main

import (
	"bufio"
	"bytes"
	_ "embed" // the picture
	"flag"
	"fmt"
	"html/template"
	"io"
	"os"
	"os/exec"
	"strings"
	"unicode"
)

// picture has lengths in pixels.
//
//go:embed terminal.svg
var picture string

// line is one of the terminal. Only that of a command has a prompt.
type line struct {
	Top          int
	Prompt, Text string
}

const (
	lineHeight = 18
	letter     = 7.83 // the width of one
	above      = 48   // the first line's foot
)

func main() {
	out := flag.String("o", "", "file that receives the picture; standard output if empty")
	columns := flag.Int("columns", 110, "the width; what is longer goes on in the next line")
	flag.Parse()
	if err := run(os.Stdin, *out, *columns); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(commands io.Reader, out string, columns int) error {
	lines, err := show(commands, columns)
	if err != nil {
		return err
	}
	drawn, err := draw(lines, columns)
	if err != nil {
		return err
	}
	if out != "" {
		return os.WriteFile(out, drawn, 0o644)
	}
	_, err = os.Stdout.Write(drawn)
	return err
}

// show runs the commands.
func show(commands io.Reader, columns int) (lines []line, err error) {
	for s := bufio.NewScanner(commands); ; {
		if !s.Scan() {
			return lines, s.Err()
		}
		command := s.Text()
		if command == "" || strings.HasPrefix(command, "#") {
			continue
		}
		lines = append(lines, line{Prompt: "$ ", Text: command})
		cmd := exec.Command("bash", "-c", command)
		printed, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			return nil, err
		}
		for text := range strings.Lines(string(printed)) {
			lines = append(lines, wrapped(text, columns)...)
		}
	}
}

// wrapped is a line of output, without what is not to be seen.
func wrapped(text string, columns int) (lines []line) {
	text = strings.TrimRight(strings.ReplaceAll(text, "\t", "        "), "\r\n")
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text))
	for len(runes) > columns {
		lines = append(lines, line{Text: string(runes[:columns])})
		runes = runes[columns:]
	}
	return append(lines, line{Text: string(runes)})
}

// draw makes the picture.
func draw(lines []line, columns int) ([]byte, error) {
	for i := range lines {
		lines[i].Top = above + i*lineHeight
	}
	t, err := template.New("picture").Parse(picture)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{"Lines": lines, "Width": int(float64(columns)*letter) + 32, "Height": above + len(lines)*lineHeight})
	return out.Bytes(), err
}
