package harness

import (
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child that dies with the test.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended and been waited for
}

// launch starts cmd on a thread that lives as long as the child does: the kernel's signal to orphans is
// sent when the thread that forked ends, and Go ends threads as it likes.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1) // one answer, never blocks
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	return p, <-started
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// endsWithin waits for the end.
func (p *process) endsWithin(limit time.Duration) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-p.exited:
		return true
	case <-t.C:
		return false
	}
}
