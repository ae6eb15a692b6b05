# homerun's tasks. `make help` lists them.
#
# The binaries are a function of the commit alone: no path, no date and no
# build host goes in, so two people who build a commit get the same bytes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

PREFIX ?= /usr/local
DESTDIR ?=
FUZZTIME ?= 1m
FUZZ ?= ^Fuzz
BENCHFLAGS ?=
ENGINESFLAGS ?=
BITES ?=
UNMUTATED ?= true
# A runtime has to honour what the OCI has deprecated, so that is no finding.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks inherit,-SA1019

VERSION := $(shell cat VERSION)
COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

# GO is looked for when a recipe needs it, so that `make deps` can come first.
GO = $(or $(shell hack/deps go),go)
# A program of ours may itself call go: put the one that fits first in PATH.
RUN = PATH="$(dir $(GO)):$$PATH"
LDFLAGS = -s -w -buildid= -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# homerun has an entry of its own: cmd/homerun/entry.go.
bin/homerun: LDFLAGS += -E main.entry
# It does most things once. But in Go's own runtime, inlining makes it larger by a fourteenth (6.94 for 6.48 million bytes, over
# the budget), and run no quicker (1.00, medians of 250 rounds in random order, idle, 2026-11; a verb that starts nothing: 0.98).
NOT_INLINED := -gcflags=all=-l '-gcflags=runtime/...=' '-gcflags=internal/...='
bin/homerun: GCFLAGS = $(NOT_INLINED)
# The heap begins at a fixed address, 0.99 of the time, and has the collector of Go before 1.26, 0.99 of that (podman's config;
# medians of 60 rounds of 60 pairs, idle, 2026-11). Most verbs end before anything is collected (cmd/homerun/release.go), and what
# the newer collector needs of each page of small objects is never touched: 13 to 18 page faults fewer. Go 1.26 randomizes the
# address for programs with C in them, of which this one has none. What another Go does not know is left out.
# No other program has any, whatever the caller's environment says.
EXPERIMENT = GOEXPERIMENT=
EXPERIMENTS = $(shell for e in norandomizedheapbase64 nogreenteagc; do $(RUN) GOEXPERIMENT=$$e go env GOEXPERIMENT 2>/dev/null || :; done | paste -sd,)
bin/homerun: EXPERIMENT = GOEXPERIMENT=$(EXPERIMENTS)
# Functions begin at multiples of 16 bytes, not Go's 32: that is a fiftieth of the file, and of each verb's memory.
bin/homerun: LDFLAGS += -funcalign=16
# What its verbs call stands side by side, else each takes 2 MB more of memory: hack/order.
ORDERED = -toolexec "'$(CURDIR)/.out/order' '$(CURDIR)/cmd/homerun/order.txt'"
# On riscv64 the linker leaves no room for calls of more than a megabyte then, and fails.
ifneq ($(or $(GOARCH),$(shell uname -m)),riscv64)
bin/homerun: ORDER = $(ORDERED)
endif
GOBUILD = build -trimpath -buildvcs=false
BINARIES := bin/homerun $(patsubst cmd/%,bin/%,$(wildcard cmd/homerun-*))
GO_BINARIES := $(filter-out bin/homerun-seccomp,$(BINARIES))
# What has its tests beside it. Those below tests/ are about the whole, and want privileges, helpers and time.
UNITS = $$($(GO) list ./... | grep -v /tests) ./tests/security/bites

# How long a program with the race detector sleeps before it exits, so that its other goroutines can still show a race.
# The default is a second, which most time of the tests would go into: they start hundreds of such programs.
RACE_SLEEP = 100

.PHONY: build
build: $(BINARIES) ## build bin/homerun and its helpers (static, reproducible)

# go's own cache knows better than time stamps what is up to date. The linker writes through a mapping, page by page, and
# so the page cache has the file. In a copy it has larger pieces, as in what `make install` installs: run takes 1.09 times
# as long without (least tenth of 400 interleaved rounds, 2026-11). When the cache was dropped both are read page by page.
.PHONY: $(BINARIES)
$(GO_BINARIES): bin/%: .deps-build
	@$(RUN) CGO_ENABLED=0 $(EXPERIMENT) go $(GOBUILD) $(GCFLAGS) $(ORDER) -ldflags '$(LDFLAGS)' -o bin/.linked-$* ./cmd/$*
	@install -m 755 bin/.linked-$* $@
	@rm bin/.linked-$*

bin/homerun: .out/order
.PHONY: .out/order
.out/order: .deps-build
	@$(RUN) GOOS= GOARCH= CGO_ENABLED=0 GOEXPERIMENT= go $(GOBUILD) -o $@ ./hack/order

.PHONY: order
order: build ## as root: measure which functions verbs call, for the linker's order (cmd/homerun/order.txt)
	@rm -rf .out/calls .out/traced && mkdir .out/traced && mkdir -m 1777 .out/calls
	@cp bin/homerun-* .out/traced
	@$(RUN) CGO_ENABLED=0 GOEXPERIMENT=$(EXPERIMENTS) go $(GOBUILD) $(NOT_INLINED) -ldflags '-E main.entry' -o .out/traced/homerun ./cmd/homerun
	@$(RUN) CGO_ENABLED=0 go $(GOBUILD) -o .out/reached ./hack/reached
	@setcap cap_sys_ptrace=ep .out/reached # else newuidmap, which is started while traced, would have no rights
	@$(RUN) go run ./hack/bench -n 2 -verbs run,lifecycle,exec,state,kill,person -runtimes homerun=hack/order/traced >/dev/null
	@.out/reached -merge .out/calls >.out/order.txt
	@mv .out/order.txt cmd/homerun/order.txt

# libseccomp is C: this helper alone is built with cgo, linked statically so
# that it runs wherever the main binary does.
bin/homerun-seccomp: .deps-build
	@if hack/deps has-libseccomp; then \
		eval "$$(GOARCH=$(GOARCH) $(RUN) hack/cross)"; \
		$(RUN) CGO_ENABLED=1 $(EXPERIMENT) go $(GOBUILD) -tags netgo,osusergo \
			-ldflags '$(LDFLAGS) -linkmode external -extldflags "-static -Wl,--build-id=none"' -o $@ ./cmd/homerun-seccomp; \
	else \
		rm -f $@; \
		echo "$@: not built: gcc, pkg-config or libseccomp's header and static library are missing (hack/deps build)."; \
		echo "  homerun works without it, but refuses a config.json that asks for a seccomp profile."; \
	fi

.PHONY: .deps-build
.deps-build:
	@hack/deps build

.PHONY: try
try: ## build homerun and run a container on this machine's own files, read-only
	@hack/deps build try
	@$(MAKE) --no-print-directory build
	@hack/try

# What takes longest begins first, beside each other.
.PHONY: test
test: ## everything: check, reproducible, the race detector, and all tests, here or in the test machine
	@hack/deps build test
	@$(MAKE) --no-print-directory build check reproducible
	@$(RUN) GORACE=atexit_sleep_ms=$(RACE_SLEEP) HOMERUN_TEST_MAY_SKIP=1 go test -race -short $(UNITS)
	@$(RUN) go run ./hack/testrun ./tests ./tests/podman ./...

.PHONY: test-fast
test-fast: .deps-build ## what needs no privileges, in seconds
	@$(RUN) HOMERUN_TEST_MAY_SKIP=1 go test -short $(UNITS)

.PHONY: bites
bites: build ## take out each defence that a security test is for, and see that test fail; BITES selects by regular expression
	@$(RUN) go test ./tests/security/bites -count=1 -timeout 20m -v -run TestMutants -args -bites -mutant '$(BITES)' -unmutated=$(UNMUTATED)

# The suites' runtimes: all three, or those named.
RUNTIMES ?=

.PHONY: oci suites conformance
oci: build ## the OCI's validation programs on homerun, crun and runc, or RUNTIMES=homerun alone, in the test machine (tests/oci)
	@$(RUN) hack/suites oci $(RUNTIMES)

suites: oci ## these, and runc's own integration tests (tests/runc): some ten minutes for each runtime
	@hack/deps suites
	@$(RUN) hack/suites runc $(RUNTIMES)

CONFORMANCE ?= suites engines

conformance: ## run all suites and days with engines, or CONFORMANCE=oci, suites or engines, and write docs/conformance.md and README.md's line
	@$(MAKE) --no-print-directory -k $(CONFORMANCE)
	@$(RUN) go run ./hack/conformance

# Mutation tests are for developers, one package at a time.
GREMLINS ?= github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0

.PHONY: mutate
mutate: ## change each condition of one package, PKG=./store, and see its tests fail: three in four at least
	@test -n '$(PKG)' || { echo 'make mutate PKG=./store' >&2; exit 2; }
	@$(RUN) go run $(GREMLINS) unleash --workers 2 --timeout-coefficient 3 --threshold-efficacy 75 $(PKG)

.PHONY: check
check: .deps-build ## gofmt, go mod tidy, go vet, staticcheck, shellcheck and the project's own rules
	@hack/deps check
	@out=$$($(RUN) gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
		[ -z "$$out" ] || { echo "gofmt -w these:"; echo "$$out"; exit 1; }
	@for module in $$(git ls-files -co --exclude-standard '*go.mod' | xargs dirname); do \
		cd "$(CURDIR)/$$module"; \
		$(RUN) go mod tidy -diff; \
		[ -n "$$($(RUN) go list ./... 2>/dev/null)" ] || continue; \
		$(RUN) go vet ./...; \
		$(RUN) go run $(STATICCHECK) ./...; \
	done
	@hack/shell-scripts | xargs -r shellcheck
	@$(RUN) go run ./hack/check

.PHONY: reproducible
reproducible: .deps-build ## build twice, in different folders, and compare
	@$(RUN) hack/reproducible

.PHONY: fuzz
fuzz: .deps-build ## run each fuzz target for FUZZTIME (1m); FUZZ selects by regular expression
	@$(RUN) hack/fuzz '$(FUZZ)' '$(FUZZTIME)'

.PHONY: bench
bench: ## compare with crun and a bare-syscall floor; BENCHFLAGS goes to hack/bench (docs/performance.md)
	@hack/deps bench
	@if [ -d cmd/homerun ]; then $(MAKE) --no-print-directory build; fi
	@$(RUN) go run ./hack/bench $(BENCHFLAGS)

.PHONY: budget
budget: build ## measure what tests/budget holds homerun to, and write it down: tests/budget/budget.txt
	@$(RUN) HOMERUN_TEST_BUDGET=write go test -p 1 -count 1 ./tests/budget ./compile
	@$(RUN) CGO_ENABLED=0 go test -c -o bin/test/budget ./tests/budget
	@hack/machine run --env HOMERUN_TEST_BUDGET=write --env HOMERUN_TEST_MACHINE=1 -- \
		sh -c 'cd tests/budget && exec ../../bin/test/budget -test.run Scope'

SOAK ?= 10m
SOAK_SEED ?=

.PHONY: soak
soak: build ## a day of faults: many clients for SOAK (10m) in the test machine, with kills, full disks and failing calls (docs/soak.md)
	@$(RUN) CGO_ENABLED=0 go test -c -o bin/test/soak ./tests/soak
	@hack/machine run --user root --timeout 90000 --env HOMERUN_TEST_MACHINE=1 --env HOMERUN_SOAK=$(SOAK) --env HOMERUN_SOAK_SEED=$(SOAK_SEED) \
		--env HOMERUN_SOAK_JOURNAL=$(CURDIR)/bin/test/soak.journal -- sh -c 'cd tests/soak && exec ../../bin/test/soak -test.v -test.timeout 0 -test.run "^TestSoak$$"'

.PHONY: soak-disk
soak-disk: build ## the same with a disk that fails now and then, for some minutes on Debian's kernel (docs/soak.md)
	@hack/deps soak-disk
	@tests/soak/disk

.PHONY: smoke-arm64 smoke-riscv64
smoke-arm64: ## run, exec and limits of a homerun for arm64, on Debian's kernel for it in QEMU: some minutes
smoke-riscv64: ## the same for riscv64
smoke-arm64 smoke-riscv64: smoke-%: .out/order
	@hack/deps $@
	@$(RUN) GOARCH=$* CGO_ENABLED=0 GOEXPERIMENT=$(EXPERIMENTS) go $(GOBUILD) $(NOT_INLINED) $(if $(filter-out riscv64,$*),$(ORDERED)) \
		-ldflags '$(LDFLAGS) -E main.entry -funcalign=16' -o .out/$*/homerun ./cmd/homerun
	@hack/machine run --kernel $* --user root -- hack/smoke $(CURDIR)/.out/$*/homerun

.PHONY: ansible
ansible: packages ## play contrib/ansible's playbooks in a test machine that has Ansible: some minutes, most of them for its image
	@hack/deps machine
	@hack/ansible "$$(ls -t bin/packages/homerun_*.deb | head -1)"

.PHONY: picture
picture: build ## draw docs/terminal.svg anew: what the commands of docs/terminal.txt print
	@$(RUN) CGO_ENABLED=0 go build -o bin/test/picture ./hack/picture
	@hack/machine run -- bash -c 'export PATH=$(CURDIR)/bin:$$PATH; mkdir ~/project; cd ~/project; \
		printf "made:\n\techo made >made\n" >Makefile; $(CURDIR)/bin/test/picture -o $(CURDIR)/docs/terminal.svg <$(CURDIR)/docs/terminal.txt'

# A pattern of -group may end with $, which make would take for a variable.
.PHONY: engines
engines: build ## a day with podman, docker, containerd and others, on homerun and on their own runtimes (docs/engines.md)
	@hack/deps suites
	@mkdir -p .out/engines/bin
	@$(RUN) tests/engines/build .out/engines/bin
	@$(RUN) go run ./hack/engines $(value ENGINESFLAGS)

.PHONY: deps
deps: ## install what building, testing and the test machine need, or say what is missing
	@hack/deps build try test check bench machine stock

# This machine runs what writes them, whatever the binaries are for.
.PHONY: docs
docs: .deps-build ## write the man pages and shell completions to bin/docs
	@$(RUN) GOOS= GOARCH= CGO_ENABLED=0 go run -trimpath $(NOT_INLINED) ./cmd/homerun generate-docs bin/docs
	@$(RUN) GOOS= GOARCH= CGO_ENABLED=0 go run -trimpath $(NOT_INLINED) ./hack/man bin/docs
	@$(RUN) hack/licences >bin/docs/THIRD-PARTY.txt

.PHONY: install
install: build docs ## install below PREFIX (/usr/local), inside DESTDIR
	@hack/install '$(PREFIX)' '$(DESTDIR)'

.PHONY: uninstall
uninstall: ## remove what install installs
	@hack/install --remove '$(PREFIX)' '$(DESTDIR)'

# What packages say of time is the commit's: git's, or that of the files which an archive of it has.
EPOCH = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y VERSION))

.PHONY: packages
packages: build docs ## make deb, rpm and apk packages of what was built, in bin/packages
	@$(RUN) VERSION='$(VERSION)' SOURCE_DATE_EPOCH=$(EPOCH) GOARCH=$(GOARCH) hack/package bin/packages

# What a release is for: those that package stage has its assembly for.
ARCHITECTURES ?= amd64 arm64 riscv64

.PHONY: release
release: .deps-build ## make archives, packages, SBOM and checksums for ARCHITECTURES, in bin/release
	@$(RUN) VERSION='$(VERSION)' COMMIT='$(COMMIT)' SOURCE_DATE_EPOCH=$(EPOCH) hack/release bin/release $(ARCHITECTURES)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
