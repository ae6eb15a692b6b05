package doctor

import "slices"

// packageNames are those of other distributions for what Debian calls uidmap and the
// like; a package that is not here has the same name everywhere.
var packageNames = map[string]map[string]string{
	"dnf":    {"uidmap": "shadow-utils", "dbus-user-session": "dbus-broker"},
	"zypper": {"uidmap": "shadow", "dbus-user-session": "dbus-broker"},
	"pacman": {"uidmap": "shadow", "dbus-user-session": "dbus"},
	"apk":    {"uidmap": "shadow-uidmap", "dbus-user-session": "dbus"},
}

// install has a row say how to install a package, or to do so again where files of one
// that is installed are gone.
func (p Packages) install(r *Row, name string) {
	if other := packageNames[p.Manager][name]; other != "" {
		name = other
	}
	again := slices.Contains(p.Installed, name)
	switch {
	case p.Manager == "apt-get" && again:
		r.Fix = []string{"sudo apt-get install --reinstall -y " + name}
	case p.Manager == "dnf" && again:
		r.Fix = []string{"sudo dnf reinstall -y " + name}
	case p.Manager == "apt-get", p.Manager == "dnf":
		r.Fix = []string{"sudo " + p.Manager + " install -y " + name}
	case p.Manager == "zypper":
		r.Fix = []string{"sudo zypper --non-interactive install --force " + name}
	case p.Manager == "pacman":
		r.Fix = []string{"sudo pacman -S --noconfirm " + name}
	case p.Manager == "apk":
		r.Fix = []string{"sudo apk add " + name, "sudo apk fix " + name}
	default:
		r.Advice = "install what Debian has in the package " + name
	}
}
