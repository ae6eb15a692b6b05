package docs

import "maps"

// allCases are those of the documents and those of the manual pages.
func allCases() map[string]docCase {
	list := cases()
	maps.Copy(list, manCases())
	return list
}

// sleeps makes the container web, which does nothing.
const sleeps = "homerun run -d --name web --rootfs / -- sleep 1000\n"

// removed removes it.
const removed = "homerun delete --force web\n"

// quick makes the bundle web, whose program has no terminal and ends at once.
const quick = web + "sed -i 's/\"terminal\": true/\"terminal\": false/; s/\"sh\"/\"sh\", \"-c\", \":\"/' web/config.json\n"

func manCases() map[string]docCase {
	list := map[string]docCase{
		"docs/man/homerun.1.md: EXAMPLES":        {},
		"docs/man/homerun-config.5.md: EXAMPLES": {before: "rm -rf web && mkdir web && mkdir web/rootfs\n"},
		"docs/man/homerun-run.1.md: EXAMPLES":    {before: quick + "mkdir -p ran && cp -r web ran && cd ran\n", after: "test \"$(cat made.txt)\" = made\n" + gone},
		"docs/man/homerun-create.1.md: EXAMPLES": {before: quick, after: removed},
		"docs/man/homerun-start.1.md: EXAMPLES":  {before: quick, after: removed},
		"docs/man/homerun-delete.1.md: EXAMPLES": {before: sleeps, after: gone},
		"docs/man/homerun-port.1.md: EXAMPLES":   {before: "homerun run -d --name web --rootfs / -p 8080:80 -- sleep 1000\n", after: removed},
		"docs/man/homerun-plan.1.md: EXAMPLES":   {before: web},
		"docs/man/homerun-spec.1.md: EXAMPLES":   {before: "rm -rf web\n", after: "test -s web/config.json\n"},
		"docs/man/homerun-rm.1.md: EXAMPLES":     {before: sleeps, after: gone},
		"docs/man/homerun-logs.1.md: EXAMPLES": {
			before: "homerun run -d --name web --rootfs / -- sh -c 'echo hello; sleep 1000'\n", after: "homerun logs web | grep hello\n" + removed},
		"docs/man/homerun-unit.1.md: EXAMPLES":   {after: "systemctl --user is-active web\nsystemctl --user stop web\nrm ~/.config/systemd/user/web.service\n"},
		"docs/man/homerun-lint.1.md: EXAMPLES":   {before: web},
		"docs/man/homerun-doctor.1.md: EXAMPLES": {},
	}
	for _, verb := range []string{"events", "exec", "features", "inspect", "kill", "list", "mounts", "pause", "ps", "resume",
		"shell", "state", "stats", "stop", "top", "update", "version", "wait"} {
		list["docs/man/homerun-"+verb+".1.md: EXAMPLES"] = docCase{before: sleeps, after: removed}
	}
	return list
}
