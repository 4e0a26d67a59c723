package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/respclient"
)

const (
	// startTimeout is generous: a daemon is ready in a fraction of a second even on a busy machine.
	startTimeout = 30 * time.Second
	stopTimeout  = 6 * time.Second // a daemon promises 5
)

// node is one daemon in a process of its own.
type node struct {
	name, dir string
	cmd       *exec.Cmd
	exited    chan struct{} // closed when the process has ended
	log       *os.File
	control   *control.Client
	status    control.Status // as of its start
	resp      *respclient.Conn
	readyIn   time.Duration
}

// start runs a daemon of the tier it is named for and waits until it is ready.
func start(ctx context.Context, root, tier, ticket string) (*node, error) {
	n := &node{name: tier, dir: filepath.Join(root, tier), exited: make(chan struct{})}
	if err := n.spawn(ticket); err != nil {
		return nil, fmt.Errorf("start %s: %w", tier, err)
	}
	began := time.Now()
	if err := n.connect(ctx); err != nil {
		said := n.lastWords()
		return nil, fmt.Errorf("start %s: %w%s", tier, errors.Join(err, n.stop()), said)
	}
	n.readyIn = time.Since(began)
	return n, nil
}

func (n *node) spawn(ticket string) error {
	if err := os.Mkdir(n.dir, 0o700); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if n.log, err = os.Create(filepath.Join(n.dir, "log")); err != nil {
		return err
	}
	n.cmd = exec.Command(self, n.arguments(ticket)...)
	n.cmd.Env = environment(os.Environ())
	n.cmd.Stderr = n.log
	n.cmd.SysProcAttr = childAttributes()
	n.control = control.NewClient(n.dir)
	return n.launch()
}

func (n *node) arguments(ticket string) []string {
	args := []string{"run", "--data-dir", n.dir, "--name", n.name, "--tier", n.name,
		"--resp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--mdns=false", "--log-level", "warn",
		"--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"}
	if ticket != "" {
		args = append(args, "--join", ticket)
	}
	return args
}

// environment drops what would change the daemons: settings, and the systemd unit that we may run in.
func environment(environ []string) []string {
	var kept []string
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "EDGEMEM_") && !strings.HasPrefix(kv, "NOTIFY_SOCKET=") {
			kept = append(kept, kv)
		}
	}
	return kept
}

// connect waits for readiness, and for the process not to end before that.
func (n *node) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	alive, die := context.WithCancelCause(ctx)
	defer die(nil)
	go func() {
		select {
		case <-n.exited:
			die(errors.New("the daemon ended"))
		case <-alive.Done():
		}
	}()
	var err error
	if n.status, err = n.control.WaitReady(alive); err != nil {
		return context.Cause(alive)
	}
	n.resp, err = respclient.Dial(ctx, n.status.Node.RESP)
	return err
}

// stop ends the daemon with SIGTERM, and by force if it does not keep its promise.
func (n *node) stop() error {
	if n.resp != nil {
		n.resp.Close()
	}
	n.control.Close()
	defer n.log.Close()
	_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	overdue := time.AfterFunc(stopTimeout, func() { _ = n.cmd.Process.Kill() })
	<-n.exited
	if !overdue.Stop() {
		return fmt.Errorf("%s did not stop within %v of SIGTERM", n.name, stopTimeout)
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with exit code %d", n.name, code)
	}
	return nil
}

// lastWords gives the end of the daemon's log, for the report of a failure.
func (n *node) lastWords() string {
	const linesShown = 5
	b, err := os.ReadFile(n.log.Name())
	if b = bytes.TrimSpace(b); err != nil || len(b) == 0 {
		return ""
	}
	lines := strings.Split(string(b), "\n")
	lines = lines[max(0, len(lines)-linesShown):]
	return "\n" + n.name + " said: " + strings.Join(lines, "\n"+n.name+" said: ")
}
