package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// env is what the rows of one run share.
type env struct {
	short   bool
	turns   int // rounds asked for; 0 for each row's own number
	dir     string
	keepDir bool
	out     io.Writer
	spawn   chan func() // calls run on the thread that owns the children

	daemon, dscrdt func() (string, error) // build on first use, give the path
}

func newEnv(o options, log io.Writer) (*env, error) {
	e := &env{short: o.short, turns: o.rounds, dir: o.dir, keepDir: o.dir != "", out: log, spawn: make(chan func())}
	if e.dir == "" {
		dir, err := os.MkdirTemp("", "edgemem-bench-")
		if err != nil {
			return nil, err
		}
		e.dir = dir
	}
	e.daemon = sync.OnceValues(func() (string, error) {
		if o.daemon != "" {
			return filepath.Abs(o.daemon)
		}
		return e.build("edgemem", moduleRoot(), "./cmd/edgemem")
	})
	e.dscrdt = sync.OnceValues(func() (string, error) {
		return e.build("dscrdt", filepath.Join(moduleRoot(), "test", "bench", "dscrdt"), ".")
	})
	go e.ownChildren()
	return e, nil
}

// close ends the thread that owns the children, and with it every child that is left.
func (e *env) close() {
	close(e.spawn)
	if !e.keepDir {
		_ = os.RemoveAll(e.dir) // a temporary directory: nothing depends on its going
	}
}

// ownChildren starts children on one thread that lives as long as the run does: the kernel kills a
// child with Pdeathsig when the thread that started it ends, not only with the process.
func (e *env) ownChildren() {
	runtime.LockOSThread()
	for do := range e.spawn {
		do()
	}
}

func (e *env) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	done := make(chan error, 1) // filled once
	e.spawn <- func() { done <- cmd.Start() }
	return <-done
}

// output runs a program to its end and gives what it printed; what it said on stderr goes into the error.
func (e *env) output(ctx context.Context, dir, name string, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	err := e.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, tail(stderr.String(), 2000))
	}
	return stdout.String(), nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// build makes the release form of a program: static and stripped.
func (e *env) build(name, dir, pkg string) (string, error) {
	e.log("building %s", name)
	out := filepath.Join(e.dir, name+".bin")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, tail(string(text), 2000))
	}
	return out, nil
}

// moduleRoot is the nearest folder upwards with the main module's go.mod; the working directory if
// there is none, so that the build's own error says what is wrong.
func moduleRoot() string {
	wd, err := os.Getwd()
	if err != nil {
		return "."
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/edgemem/edgemem\n") {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return wd
		}
	}
}

func (e *env) log(format string, a ...any) { fmt.Fprintf(e.out, "bench: "+format+"\n", a...) }

func (e *env) rounds(own int) int {
	switch {
	case e.turns > 0:
		return e.turns
	case e.short:
		return 1
	}
	return max(own, 1)
}

// size picks the number for a full or a short run.
func (e *env) size(full, short int) int {
	if e.short {
		return short
	}
	return full
}

func (e *env) span(full, short time.Duration) time.Duration {
	if e.short {
		return short
	}
	return full
}

// freeAddr gives a loopback TCP address that nobody listens on at the moment.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// await calls ready until it says yes, the child ends, or the time is over.
func await(ctx context.Context, what string, limit time.Duration, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: not within %v", what, limit), context.Cause(ctx))
		}
	}
	return nil
}
