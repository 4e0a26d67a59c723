//go:build unix

package unixsock

import "syscall"

// restrictNewFiles makes what is created from now on the owner's alone, so that a socket is private from
// its first moment; calling the result undoes it. The mask is the process's, so whatever else is made
// meanwhile is private too, which is harmless.
func restrictNewFiles() (undo func()) {
	old := syscall.Umask(0o077)
	return func() { syscall.Umask(old) }
}
