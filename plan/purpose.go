package plan

// Purpose is what a step is for, where rules or explanations of failures depend on it.
type Purpose uint8

// The purposes. Most steps have none.
const (
	_ Purpose = iota
	// ForRoot: the container's root is opened, attached or entered.
	ForRoot
	// ForMount: a mount of config.json. The subject is its type, "" for a bind mount.
	ForMount
	// ForMask: a path is masked, or made read-only.
	ForMask
	// ForJoin: a container that is there already is entered.
	ForJoin
	// ForLimit: a resource limit is set. The subject is its name (RLIMIT_NOFILE).
	ForLimit
	// ForAppArmor and ForSELinux: a label for the program.
	ForAppArmor
	ForSELinux
	// ForProgram: the program is looked for and executed. The subject is its name, as in
	// process.args.
	ForProgram
	// ForHook: a hook is executed, or what comes before that.
	ForHook
)
