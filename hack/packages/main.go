// Packages makes deb, rpm and apk packages of the tree that hack/install wrote, by one description, nfpm.yaml, and lists
// what the binaries consist of. hack/package calls it.
//
//	packages build DESCRIPTION DIRECTORY   writes a package of each format to DIRECTORY
//	packages sbom FILE BINARY...           writes to FILE what is linked into the binaries, as CycloneDX has it
//
// It is a module of its own, so that what it needs is none of homerun's dependencies. The description's variables are the
// environment's, and times are SOURCE_DATE_EPOCH: the same tree gives the same bytes.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/apk"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case os.Getenv("SOURCE_DATE_EPOCH") == "":
		return errors.New("SOURCE_DATE_EPOCH is not set")
	case len(args) == 3 && args[0] == "build":
		return build(args[1], args[2])
	case len(args) > 2 && args[0] == "sbom":
		return sbom(args[1], args[2:])
	}
	return errors.New("usage: packages build DESCRIPTION DIRECTORY | sbom FILE BINARIES")
}

// build makes the packages. Each has its own copy of the description, which a packager changes.
func build(description, dir string) error {
	for _, format := range []struct {
		name     string
		packager nfpm.Packager
	}{{"deb", deb.Default}, {"rpm", rpm.DefaultRPM}, {"apk", apk.Default}} {
		nfpm.RegisterPackager(format.name, format.packager)
		config, err := nfpm.ParseFileWithEnvMapping(description, os.Getenv)
		if err != nil {
			return err
		}
		info, err := config.Get(format.name)
		if err != nil {
			return err
		}
		if format.name == "apk" { // its description is a line
			info.Description, _, _ = strings.Cut(info.Description, "\n")
		}
		if err := write(nfpm.WithDefaults(info), format.name, format.packager, dir); err != nil {
			return fmt.Errorf("%s: %w", format.name, err)
		}
	}
	return nil
}

func write(info *nfpm.Info, format string, packager nfpm.Packager, dir string) error {
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	for _, c := range info.Contents {
		c.FileInfo.Mode = c.FileInfo.Mode.Perm() // an apk would have Go's bit for directories in it
	}
	if format == "rpm" {
		markDocuments(info)
	}
	file, err := os.Create(filepath.Join(dir, packager.ConventionalFileName(info)))
	if err != nil {
		return err
	}
	return cmp.Or(packager.Package(info, file), file.Close())
}

// markDocuments tells rpm which files are documents, which it may be asked to leave out, and which are licences.
func markDocuments(info *nfpm.Info) {
	for _, c := range info.Contents {
		switch name := filepath.Base(c.Destination); {
		case c.Type != files.TypeFile:
		case name == "LICENSE", name == "THIRD-PARTY.txt":
			c.Type = files.TypeRPMLicense
		case strings.HasPrefix(c.Destination, "/usr/share/doc/"), strings.HasPrefix(c.Destination, "/usr/share/man/"):
			c.Type = files.TypeRPMDoc
		}
	}
}
