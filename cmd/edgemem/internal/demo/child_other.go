//go:build !linux

package demo

import "syscall"

// childAttributes: where there is no Pdeathsig, a demo that is killed by force leaves its children.
func childAttributes() *syscall.SysProcAttr { return nil }

func (n *node) launch() error {
	if err := n.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = n.cmd.Wait() // the exit code is in ProcessState
		close(n.exited)
	}()
	return nil
}
