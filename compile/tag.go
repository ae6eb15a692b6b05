package compile

// Tag is the tag of the signal that a plan's runtime awaits by name, or 0.
func Tag(name string) uint32 {
	switch name {
	case "init":
		return TagInit
	case "user":
		return TagUser
	case "namespaces":
		return TagNamespaces
	case "network":
		return TagNetwork
	case "ready":
		return TagReady
	}
	return 0
}
