package harness

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options say how to start a node. The zero value is a device alone with free ports on loopback.
type Options struct {
	Name, Tier string   // by default "node" and "device"
	Dir        string   // data directory; by default a new one
	Join       string   // ticket
	Listen     []string // multiaddrs; by default TCP and QUIC on free ports of 127.0.0.1
	RESP       string   // by default a free port of 127.0.0.1
	Args       []string // further flags of `edgemem run`
	Env        []string // further variables, NAME=value
	Program    string   // by default Binary
	Wrap       []string // a command that runs the daemon, such as "ip", "netns", "exec", NAME
}

// Node is one daemon, over all of its restarts. Its methods end the test when the daemon does not do what it
// must; those that give an error leave that to the caller.
type Node struct {
	t    testing.TB
	o    Options
	Name string
	Dir  string
	log  string // file

	mu      sync.Mutex // Writers ask for the address while a test restarts the node
	proc    *process
	started Status
}

// Start runs a daemon until the test ends and waits until it is ready.
func Start(t testing.TB, o Options) *Node {
	t.Helper()
	n := NewNode(t, o)
	n.Start()
	return n
}

// NewNode prepares a daemon without starting it.
func NewNode(t testing.TB, o Options) *Node {
	t.Helper()
	if o.Name == "" {
		o.Name = "node"
	}
	if o.Tier == "" {
		o.Tier = "device"
	}
	if o.RESP == "" {
		o.RESP = "127.0.0.1:0"
	}
	if len(o.Listen) == 0 {
		o.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(ShortDir(t), o.Name)
	}
	n := &Node{t: t, o: o, Name: o.Name, Dir: o.Dir, log: o.Dir + ".log"}
	t.Cleanup(n.cleanUp)
	return n
}

// ShortDir makes a folder whose path leaves room for the name of a unix socket.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "em-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Arguments is the command line that the node is started with.
func (n *Node) Arguments() []string {
	args := []string{"run", "--data-dir", n.Dir, "--name", n.o.Name, "--tier", n.o.Tier, "--resp", n.o.RESP,
		"--http", "127.0.0.1:0", "--mdns=false"}
	for _, l := range n.o.Listen {
		args = append(args, "--listen", l)
	}
	if n.o.Join != "" {
		args = append(args, "--join", n.o.Join)
	}
	return append(args, n.o.Args...)
}

// Start runs the daemon, again after Kill or Stop, and waits until it is ready.
func (n *Node) Start() {
	n.t.Helper()
	if err := n.TryStart(); err != nil {
		n.t.Fatalf("start %s: %v\n%s", n.Name, err, n.Log())
	}
}

// TryStart is Start for whoever expects trouble.
func (n *Node) TryStart() error {
	if err := n.launch(); err != nil {
		return err
	}
	deadline := time.Now().Add(Patience)
	for {
		s, err := askStatus(n.Dir)
		if err == nil && s.Node.Ready {
			n.mu.Lock()
			n.started = s
			n.mu.Unlock()
			return nil
		}
		switch {
		case !n.proc.running():
			return fmt.Errorf("ended with exit code %d before it was ready", n.proc.cmd.ProcessState.ExitCode())
		case time.Now().After(deadline):
			return fmt.Errorf("not ready after %v: %w", Patience, err)
		}
		time.Sleep(pollFirst)
	}
}

// Launch starts the daemon and waits for nothing.
func (n *Node) Launch() {
	n.t.Helper()
	if err := n.launch(); err != nil {
		n.t.Fatalf("start %s: %v", n.Name, err)
	}
}

func (n *Node) launch() error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	line := append(append([]string{}, n.o.Wrap...), cmp.Or(n.o.Program, Binary))
	line = append(line, n.Arguments()...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = Environment(n.o.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	n.proc, err = launch(cmd)
	return err
}

// SetArgs changes the further flags of the next start.
func (n *Node) SetArgs(args ...string) { n.o.Args = args }

// Started is the status at the last start: addresses, id, origin.
func (n *Node) Started() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.started
}

// RESP is the address of the Redis protocol; it changes with a restart.
func (n *Node) RESP() string { return n.Started().Node.RESP }

// Status asks now.
func (n *Node) Status() (Status, error) {
	s, err := askStatus(n.Dir)
	if err != nil {
		err = fmt.Errorf("%s: %w", n.Name, err)
	}
	return s, err
}

// MustStatus ends the test without an answer.
func (n *Node) MustStatus() Status {
	n.t.Helper()
	s, err := n.Status()
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

// MustRegion gives one region's status.
func (n *Node) MustRegion(name string) Region {
	n.t.Helper()
	r, ok := n.MustStatus().Region(name)
	if !ok {
		n.t.Fatalf("%s has no region %s", n.Name, name)
	}
	return r
}

// Dial connects to the Redis protocol in region default until the test ends.
func (n *Node) Dial() *Conn {
	n.t.Helper()
	c, err := Dial(n.RESP())
	if err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
	n.t.Cleanup(c.Close)
	return c
}

// Do runs one command in region default and gives its reply.
func (n *Node) Do(args ...string) any {
	n.t.Helper()
	c, err := Dial(n.RESP())
	if err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
	defer c.Close()
	reply, err := c.Do(args...)
	if err != nil {
		n.t.Fatalf("%s: %q: %v", n.Name, args, err)
	}
	return reply
}

// HTTPStatus is what a GET of path answers.
func (n *Node) HTTPStatus(path string) int {
	n.t.Helper()
	client := http.Client{Timeout: replyTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + n.Started().Node.HTTP + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Kill is kill -9; when it returns, the process is gone.
func (n *Node) Kill() {
	n.proc.signal(syscall.SIGKILL)
	<-n.proc.exited
}

// StopTimeout is what a daemon promises between SIGTERM and its end.
const StopTimeout = 5 * time.Second

// Stop sends SIGTERM, wants exit code 0 in time, and gives the time that it took.
func (n *Node) Stop() time.Duration {
	n.t.Helper()
	began := time.Now()
	n.proc.signal(syscall.SIGTERM)
	if !n.proc.endsWithin(StopTimeout) {
		n.t.Fatalf("%s still runs %v after SIGTERM\n%s", n.Name, StopTimeout, n.Log())
	}
	if code := n.proc.cmd.ProcessState.ExitCode(); code != 0 {
		n.t.Fatalf("%s: exit code %d after SIGTERM\n%s", n.Name, code, n.Log())
	}
	return time.Since(began)
}

// Running says whether the process is there.
func (n *Node) Running() bool { return n.proc.running() }

// Log gives the end of what the daemon said.
func (n *Node) Log() string {
	const linesShown = 40
	lines := strings.Split(strings.TrimSpace(n.AllLog()), "\n")
	lines = lines[max(0, len(lines)-linesShown):]
	return n.Name + ": " + strings.Join(lines, "\n"+n.Name+": ")
}

// AllLog gives everything that the daemon said, over all restarts.
func (n *Node) AllLog() string {
	b, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// cleanUp also looks for what no daemon may ever say.
func (n *Node) cleanUp() {
	if n.proc != nil {
		n.Kill()
	}
	b, _ := os.ReadFile(n.log) // a node that never started has none
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if bytes.Contains(b, []byte(bad)) {
			n.t.Errorf("%s said %q", n.Name, bad)
		}
	}
	if n.t.Failed() && len(b) > 0 {
		n.t.Log(n.Log())
	}
}

// PID is the daemon's process.
func (n *Node) PID() int { return n.proc.cmd.Process.Pid }
