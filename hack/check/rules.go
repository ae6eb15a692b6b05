package main

// rule is something that all of the repository must satisfy.
type rule struct {
	name  string
	why   string
	check func(*tree) ([]finding, error)
}

// finding is one place that breaks a rule.
type finding struct {
	where string // file:line, or whatever else names the place
	what  string
}

// rules is everything that is checked.
var rules = []rule{
	{"pure-imports", "a plan is a function of the config and the facts; what reads a file or a clock belongs in host/probe or in a package that acts", pureImports},
	{"pure-names", "a pure package describes system calls, it makes none, nor gives away the function; from x/sys/unix it takes constants and types", pureNames},
	{"facts-read", "a fact without a reader costs a system call and says nothing", unreadFacts},
	{"unsafe", "memory is laid out by hand in package stage alone, or in a file that says so by its name", unsafeImports},
	{"layers", "imports point one way, from the commands down to plan and host", layers},
	{"command-imports", "what the command can do, a Go program can do with package container", commandImports},
	{"cgo", "the main binary is static and starts in a millisecond; C lives in cmd/homerun-seccomp", cgoImports},
	{"heavy-imports", "these cost start-up time in every invocation", heavyImports},
	{"main-binary", "what the main binary links, every start pays for", mainBinary},
	{"file-size", "a file is read in one sitting", fileSizes},
	{"function-size", "a function does one thing; only a flat switch or table may be longer", functionSizes},
	{"function-lengths", "nine in ten functions are read at one glance, and nearly all on one page", functionLengths},
	{"function-shapes", "what goes in and which ways there are is kept in mind while one reads", functionShapes},
	{"booleans", "who reads a call sees true and not what it means: a name or a type of its own says it", booleanParameters},
	{"package-names", "a package is named after what it knows, not after the fact that it is used", packageNames},
	{"no-init", "what runs before main runs in every invocation, in an order nobody sees", initFunctions},
	{"no-globals", "package-level variables are shared state; errors and tables are not", globals},
	{"documented", "an exported name is a promise, and a promise has words", exportedDocs},
	{"package-comments", "the package comment is where a reader starts", packageComments},
	{"errors-is", "a wrapped error is not equal to what it wraps; use errors.Is", errorComparisons},
	{"rootfs-paths", "the container owns its rootfs and can swap any part of a path while it is used", rootfsPaths},
	{"commit-subjects", "`git log --oneline` is read by area", commitSubjects},
	{"outside-references", "what the repository names must be in it", outsideReferences},
}
