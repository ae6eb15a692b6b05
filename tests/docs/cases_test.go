package docs

// place is where a block's commands run.
type place int

const (
	machine place = iota
	host
	// elsewhere is for what other tests are about, or nothing here can be.
	elsewhere
)

// docCase is what stands around a block's commands. Scripts are bash's, which ends at
// the first command that fails.
type docCase struct {
	place         place
	before, after string
	// functions are there for each user.
	functions string
	// files are names, by what stands at the beginning of the text in the document.
	files map[string]string
	// why nothing is run.
	why string
}

// debian makes ~/debian, a directory that holds a system with bash.
const debian = `mkdir -p ~/debian/bin ~/debian/proc ~/debian/dev ~/debian/sys ~/debian/tmp ~/debian/run ~/debian/etc
cp /bin/bash ~/debian/bin/
for library in $(ldd /bin/bash | grep -o '/[^ ]*'); do mkdir -p ~/debian$(dirname $library); cp $library ~/debian$library; done
`

// cowsay makes a package.
const cowsay = `rm -rf ~/deb && mkdir -p ~/deb/cowsay/DEBIAN ~/deb/cowsay/usr/games && cd ~/deb
printf 'Package: cowsay\nVersion: 1\nArchitecture: all\nMaintainer: me <me@example.org>\nDescription: says moo\n' >cowsay/DEBIAN/control
printf '#!/bin/sh\necho moo $*\n' >cowsay/usr/games/cowsay && chmod 755 cowsay/usr/games/cowsay && dpkg-deb --root-owner-group -b cowsay cowsay.deb
`

// web is the bundle of "Run an OCI bundle".
const web = `rm -rf web && mkdir -p web/rootfs/bin && cp "$(command -v busybox)" web/rootfs/bin/sh && homerun spec --rootless -b web
`

func cases() map[string]docCase {
	return map[string]docCase{
		"README.md: Two commands": {place: elsewhere, why: "CI runs both: make test is what this is a part of"},
		"README.md: Run a command in a container, without any preparation": {
			before: debian + "mkdir -p made && cd made && printf 'all:\\n\\techo made >made.txt\\n' >Makefile\n",
			after:  "test -s made.txt\n"},
		"README.md: Publish a port": {
			before: "mkdir -p served && cd served && echo hello >README.md\n", after: gone},
		"README.md: Run an OCI bundle":                   {before: "rm -rf web\n", after: gone, functions: typed},
		"README.md: Look into a container, and limit it": {},
		"README.md: See what would happen":               {before: web + "homerun plan -b web --show-facts >other.json\n"},
		"README.md: Use it under podman": {
			before: "podman import -q /usr/share/homerun-test/busybox.tar docker.io/library/alpine\n", functions: "make() { test -x /usr/local/bin/homerun; }\n",
			after: "rm -r ~/.config/containers/containers.conf.d\n"},
		"README.md: Use it under Docker, nerdctl and containerd": {place: elsewhere, why: "the test machine has none of these engines"},
		"README.md: Run a container as a service of your own": {
			before: web + "mkdir -p ~/.config/systemd/user\nsed -i 's/\"terminal\": true/\"terminal\": false/; s/\"sh\"/\"sh\", \"-c\", \"sleep 100\"/' web/config.json\n",
			after:  "systemctl --user -M dev@.host disable web\n", functions: "USER=dev\n"},
		"README.md: homerun": {before: "mkdir -p project ~/.config/systemd/user; cd project; printf 'all:\\n\\techo made >made.txt\\n' >Makefile\n" + alpine,
			after: "test -s made.txt; systemctl --user daemon-reload; systemctl --user start web; curl -sS http://127.0.0.1:8080/etc/os-release | grep Debian; systemctl --user stop web\n"},
		"README.md: Use it on Ubuntu 24.04 and later":                          {place: elsewhere, why: "the test machine's kernel has no AppArmor"},
		"README.md: Install it elsewhere":                                      {place: host, before: "cd $(mktemp -d) && trap 'rm -r $PWD' EXIT && make() { command make -o build -C $OLDPWD \"$@\"; }\n", after: "test -x package/usr/bin/homerun; test -x ~/.local/bin/homerun; test -s ~/.local/share/man/man7/homerun.7; test -s package/usr/share/man/man5/homerun-config.5\n"},
		"docs/build.md: A release":                                             {place: elsewhere, why: "it builds for three architectures, which takes minutes"},
		"docs/build.md: Packages":                                              {place: elsewhere, why: "tests/packages makes them, and installs, upgrades and purges the deb"},
		"CONTRIBUTING.md: Run it":                                              {place: elsewhere, why: "CI runs them, but for make bench: tests/budget and docs/performance.md"},
		"docs/private.md: A root to throw away: --overlay":                     {before: debian + cowsay, after: "test -s ~/changes/layer%etc/upper/motd; test ! -e /usr/games/cowsay; test ! -e ~/debian/etc/issue\n"},
		"docs/faq.md: Is it safe for code that I don't trust?":                 {before: "mkdir -p faq && cd faq && touch seen\n"},
		"docs/faq.md: Does it need root once, for anything?":                   {},
		"docs/faq.md: Why can't apt-get install packages in `run --rootfs /`?": {after: "fails() { if \"$@\"; then return 1; fi; }; fails grep new /etc/motd\n"},
		"docs/rootfs.md: Where a root comes from":                              {before: fresh},
		"docs/rootfs.md: From an archive":                                      {before: debian + fresh + "echo NAME=made >~/debian/etc/os-release; ldd /bin/cat; cp /bin/cat ~/debian/bin/\ntar -C ~/debian -cf root.tar .\n", after: "test ! -e debian\n"},
		"docs/rootfs.md: From Debian's packages":                               {place: elsewhere, why: "the test machine reaches no mirror; hack/machine.d/build makes its image so"},
		"docs/rootfs.md: From an image, with podman":                           {before: alpine + fresh},
		"docs/rootfs.md: From an image, with umoci":                            {before: alpine + fresh, functions: typed},
		"docs/machines.md: go install":                                         {place: elsewhere, why: "tests/examples installs what is here, as a release: nothing reaches what is released"},
		"docs/performance.md: Measure it again":                                {place: elsewhere, why: "a measurement needs an idle machine and takes minutes; hack/bench has tests of its own"},
		"docs/performance.md: Beside bwrap":                                    {place: elsewhere, why: "a measurement needs an idle machine; hack/bench has tests of its own"},
		"docs/troubleshooting.md: When something does not work":                {before: web},
		"docs/troubleshooting.md: By what is seen":                             {before: web},
		"docs/units.md: A unit for a command line": {
			before: "mkdir -p pages && cd pages\n",
			after:  "test $(loginctl show-user dev -P Linger) = yes\n"},
		"docs/units.md: The program says when it is ready, and that it is alive": {after: "! systemctl --user is-failed alive\n"},
		"docs/units.md: Sockets":                    {functions: "curl() { test \"$(command curl \"$@\")\" = hello; }\n"},
		"docs/units.md: Without Delegate":           {},
		"docs/verbs.md: Containers from day to day": {after: "! homerun inspect web\n"},
	}
}

// gone: the container is.
const gone = "! homerun state web 2>/dev/null\n"

// fresh is an empty directory.
const fresh = "cd $(mktemp -d -p ~)\n"

// alpine is an image of that name, which holds busybox.
const alpine = "podman import -q --change 'CMD [\"/bin/sh\", \"-c\", \"echo ran\"]' /usr/share/homerun-test/busybox.tar docker.io/library/alpine\n"

// typed: what a person types into the shell that run -b starts.
const typed = "homerun() { if [ $1 = run ]; then echo exit | command homerun \"$@\"; else command homerun \"$@\"; fi; }\n"
