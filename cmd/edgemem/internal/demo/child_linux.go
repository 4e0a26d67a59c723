package demo

import (
	"runtime"
	"syscall"
)

// childAttributes makes the kernel end the child when the demo dies, even by kill -9, and keeps the
// terminal's Ctrl-C from it: the demo ends its children itself, in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// launch starts the process from a goroutine that stays on one thread until the process has ended: the
// kernel sends Pdeathsig when the thread that forked ends, and Go ends threads as it likes.
func (n *node) launch() error {
	started := make(chan error, 1) // one answer, never blocks
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := n.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = n.cmd.Wait() // the exit code is in ProcessState
		close(n.exited)
	}()
	return <-started
}
