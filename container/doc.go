// Package container implements the OCI lifecycle for Go programs: the same that
// the homerun command offers, which uses nothing else.
//
// [New] makes a [Runtime], which says where containers are kept. [Runtime.Run]
// makes a container and starts its program; [Runtime.Create] and [Runtime.Start]
// do it in two steps. [Runtime.Exec] starts one more process, [Runtime.Update]
// changes limits, [Runtime.AddMounts] mounts, [Runtime.Kill] and [Runtime.Delete]
// end it. [Runtime.List], [Runtime.Peek] and [Container.OCIState] say what there is.
//
// # Surface
//
// The library is this package and the values that it takes and gives: package
// bundle reads and checks config.json, spec makes one, netns has networks and
// ports, cgroupv2 the managers and stats, store what is recorded and its errors,
// fault what more there is to say of an error, host facts, and compile, plan and
// action what a printed plan consists of. The other packages are its inside. The
// command imports, of what acts, nothing else but bundle and what is its own;
// hack/check holds it to that. What a caller gives is never changed.
//
// # Processes
//
// The container's init, and what Exec starts, are children of the calling
// process: it waits for them ([Process.Wait]), or they go to the nearest
// subreaper when it ends. No thread and no helper is left otherwise.
// Nothing of the calling program runs in the container: init is a page of
// machine code until it executes the container's program. That has the files that
// its [Request] names, and no others; a stream that is not named is /dev/null.
//
// The calling process stays as it is: its directory, environment, umask, signals,
// limits and cgroup. It becomes a subreaper where [Request.Subreaper] asks for that,
// and stays one.
//
// # Errors
//
// Errors are one line that ends with the errno's text where there is one; a list
// of errors has a line for each. Programs tell them by errors.Is: [store.ErrNotExist],
// [store.ErrExists], [ErrNotRunning], [ErrStatus], [ErrNoCgroup], an errno. What more
// there is to say is in a *fault.Error (package fault), found by errors.As: where
// config.json asks for it, the errno, a hint. docs/library.md has examples of all.
//
// # Concurrency
//
// There is no global state. A Runtime may be used by several goroutines, and
// one state root by several processes, at once: each container has a lock. A
// [Container] is for one goroutine.
//
// A context ends every wait, for locks, processes, helpers and services, and its
// error is returned. What Run and Create made by then is undone; what Delete did
// not remove is removed by [Runtime.ForceDelete]; and a wait can be repeated.
//
// # State
//
// Each container is a directory of the state root, with the sticky bit.
// docs/state.schema.json describes its state.json, which other programs may
// read. A state root that another user owns or can write is refused.
package container
