package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A server is a child process that speaks RESP at addr.
type server struct {
	name string
	cmd  *exec.Cmd
	addr string
	said output        // what it wrote, for error messages
	gone chan struct{} // closed when the process ended
	err  error         // how it ended; valid after gone
}

const serverReadyMax = 60 * time.Second

// startServer runs a program and gives it to the caller, who waits until it answers.
func (e *env) startServer(name, addr, program string, args ...string) (*server, error) {
	s := &server{name: name, addr: addr, gone: make(chan struct{})}
	s.cmd = exec.Command(program, args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.said, &s.said
	if err := e.start(s.cmd); err != nil {
		return nil, err
	}
	go func() { // ends with the process, which stop or the end of the run brings about
		s.err = s.cmd.Wait()
		close(s.gone)
	}()
	return s, nil
}

// output keeps what a child writes; it may be read meanwhile.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) dead() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// answers waits for the reply to PING.
func (s *server) answers(ctx context.Context) error {
	return s.await(ctx, "answering PING", func() bool {
		c, err := dialRESP(s.addr)
		if err != nil {
			return false
		}
		defer c.close()
		reply, err := c.do("PING")
		return err == nil && reply == "PONG"
	})
}

func (s *server) await(ctx context.Context, what string, ready func() bool) error {
	err := await(ctx, s.name+" "+what, serverReadyMax, func() bool { return s.dead() || ready() })
	if err == nil && s.dead() {
		err = fmt.Errorf("%s ended: %w", s.name, errors.Join(s.err, errors.New("it has not been told to")))
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(s.said.String(), 2000))
	}
	return nil
}

// stop asks the process to end and kills it if it does not within the time that edgemem promises,
// with some room for a busy machine.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !s.dead() {
		return err
	}
	select {
	case <-s.gone:
		return s.err
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.gone
		return fmt.Errorf("%s did not end on SIGTERM", s.name)
	}
}

// quit is stop for the end of a row, where nothing is measured any more.
func (s *server) quit() {
	if s != nil {
		_ = s.stop()
	}
}
