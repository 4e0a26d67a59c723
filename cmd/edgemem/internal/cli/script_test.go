package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/respclient"
)

// patience bounds everything that a script waits for; it only matters when something is broken.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Unsetenv(asCommand)
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	testscript.Main(m, map[string]func(){
		"edgemem": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs testdata/*.txtar against real daemons, each a process of its own. Beside testscript's
// own commands there are:
//
//	node NAME [flags]        start a daemon in $WORK/NAME, wait until it says that it is ready
//	joins NAME FILE [flags]  the same, with the ticket in FILE
//	refuses NAME FILE        run with the ticket in FILE must exit with 1
//	stop NAME                SIGTERM; the daemon must exit with 0 within 5 seconds
//	kill9 NAME               SIGKILL
//	exits CODE cmd args      run, and want this exit code
//	resp NAME cmd args       one Redis command, its reply on stdout
//	agree NAME NAME          wait until both hold the same in region default
//	until REGEXP cmd args    run until its output matches
//	code URL STATUS          one HTTP request, the body on stdout
//	cut FILE OTHER           write the first two thirds of FILE to OTHER
//	cutlogs DIR              take the last bytes that are not zero from the write-ahead logs in DIR
//	newkey FILE              write a key
//	holds PATH TEXT          look for TEXT in the bytes of a file, or of all files below
//	damage DIR               overwrite the middle of every file in DIR
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("NO_COLOR", "1")
			deep := filepath.Join(strings.Split(strings.Repeat("deep ", 30), " ")...)
			e.Setenv("DEEP", filepath.Dir(deep))
			e.Setenv("DEEP_NAME", deep)
			e.Values[nodesKey{}] = map[string]*testNode{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": scriptNode, "stop": scriptStop, "kill9": scriptKill, "exits": scriptExits, "resp": scriptRESP,
			"agree": scriptAgree, "until": scriptUntil, "code": scriptHTTP,
			"cut": scriptCut, "cutlogs": scriptCutLogs, "newkey": scriptNewKey, "holds": scriptHolds,
			"joins": scriptJoins, "refuses": scriptRefuses, "damage": scriptDamage,
		},
	})
}

type nodesKey struct{}

type testNode struct {
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	said   strings.Builder // standard error, once exited is closed
	status control.Status
}

func nodesOf(ts *testscript.TestScript) map[string]*testNode {
	return ts.Value(nodesKey{}).(map[string]*testNode)
}

func nodeOf(ts *testscript.TestScript, name string) *testNode {
	n := nodesOf(ts)[name]
	if n == nil {
		ts.Fatalf("no node is called %s", name)
	}
	return n
}

func scriptNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: node NAME [flags]")
	}
	name := args[0]
	n := &testNode{dir: ts.MkAbs(name), exited: make(chan struct{})}
	run := append([]string{"run", "--data-dir", n.dir, "--name", filepath.Base(name), "--resp", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--mdns=false", "--listen", "/ip4/127.0.0.1/tcp/0"}, args[1:]...)
	n.cmd = command(ts, "edgemem", run...)
	ts.Check(n.start(ts))
	nodesOf(ts)[name] = n
	ts.Setenv(name+"_RESP", n.status.Node.RESP)
	ts.Setenv(name+"_HTTP", n.status.Node.HTTP)
	listen, _, _ := strings.Cut(n.status.Node.Listen[0], "/p2p/")
	ts.Setenv(name+"_LISTEN", listen)
}

func scriptJoins(ts *testscript.TestScript, neg bool, args []string) {
	ticket := strings.TrimSpace(ts.ReadFile(args[1]))
	scriptNode(ts, neg, append([]string{args[0], "--join", ticket}, args[2:]...))
}

func scriptRefuses(ts *testscript.TestScript, neg bool, args []string) {
	ticket := strings.TrimSpace(ts.ReadFile(args[1]))
	scriptExits(ts, neg, []string{"1", "edgemem", "run", "--data-dir", ts.MkAbs(args[0]), "--resp", "off", "--http", "off",
		"--mdns=false", "--listen", "/ip4/127.0.0.1/tcp/0", "--join", ticket})
}

func scriptDamage(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i := len(b) / 4; i < len(b)*3/4; i++ {
			b[i] ^= 0x5a
		}
		return os.WriteFile(path, b, 0o600)
	}))
}

func scriptCut(ts *testscript.TestScript, _ bool, args []string) {
	whole := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(whole[:len(whole)*2/3]), 0o600))
}

func scriptCutLogs(ts *testscript.TestScript, _ bool, args []string) {
	logs, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.mem"))
	ts.Check(err)
	for _, path := range logs {
		data, err := os.ReadFile(path)
		ts.Check(err)
		used := len(strings.TrimRight(string(data), "\x00"))
		if used > 100 {
			ts.Check(os.Truncate(path, int64(used-50)))
		}
	}
}

func scriptNewKey(ts *testscript.TestScript, _ bool, args []string) {
	key := make([]byte, config.KeyBytes)
	rand.Read(key)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fmt.Appendf(nil, "%x\n", key), 0o600))
}

func scriptHolds(ts *testscript.TestScript, neg bool, args []string) {
	found := ""
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), args[1]) {
			found = path
		}
		return err
	}))
	if (found == "") != neg {
		ts.Fatalf("%q: found in %q", args[1], found)
	}
}

// command runs one of the test binary's own commands with the script's environment.
func command(ts *testscript.TestScript, name string, args ...string) *exec.Cmd {
	path := name
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			path = filepath.Join(dir, name)
			break
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "NO_COLOR", "EDGEMEM_RESP_PASSWORD", "EDGEMEM_HTTP_TOKEN", "EDGEMEM_DATA_DIR", "EDGEMEM_KEY_FILE", "GOCOVERDIR"} {
		if v := ts.Getenv(k); v != "" {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	return cmd
}

// start waits for the line that says that the daemon is ready.
func (n *testNode) start(ts *testscript.TestScript) error {
	stderr, err := n.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	ts.Defer(func() {
		n.cmd.Process.Kill()
		<-n.exited
		ts.Logf("[%s] said:\n%s", filepath.Base(n.dir), &n.said)
	})
	ready := make(chan struct{})
	go n.follow(stderr, ready)
	select {
	case <-ready:
	case <-n.exited:
		return fmt.Errorf("%s ended before it was ready", n.dir)
	case <-time.After(patience):
		return fmt.Errorf("%s is not ready after %v", n.dir, patience)
	}
	c := control.NewClient(n.dir)
	defer c.Close()
	n.status, err = c.Status(context.Background())
	if err == nil && !n.status.Node.Ready {
		err = fmt.Errorf("%s says ready and is not", n.dir)
	}
	return err
}

func (n *testNode) follow(stderr io.Reader, ready chan struct{}) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		fmt.Fprintln(&n.said, lines.Text())
		if ready != nil && strings.Contains(lines.Text(), " is ready: ") {
			close(ready)
			ready = nil
		}
	}
	n.cmd.Wait()
	close(n.exited)
}

func scriptStop(ts *testscript.TestScript, _ bool, args []string) {
	n := nodeOf(ts, args[0])
	ts.Check(n.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-n.exited:
	case <-time.After(5 * time.Second):
		ts.Fatalf("%s still runs 5 s after SIGTERM", args[0])
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		ts.Fatalf("%s ended with %d after SIGTERM", args[0], code)
	}
}

func scriptKill(ts *testscript.TestScript, _ bool, args []string) {
	n := nodeOf(ts, args[0])
	ts.Check(n.cmd.Process.Kill())
	<-n.exited
}

func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := command(ts, args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptRESP(ts *testscript.TestScript, neg bool, args []string) {
	c, err := respclient.Dial(context.Background(), nodeOf(ts, args[0]).status.Node.RESP)
	ts.Check(err)
	defer c.Close()
	reply, err := c.Do(args[1:]...)
	if neg {
		if err == nil {
			ts.Fatalf("got %v, want an error", reply)
		}
		fmt.Fprintln(ts.Stdout(), err)
		return
	}
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), reply)
}

// every calls done until it says yes.
func every(ts *testscript.TestScript, what string, done func() bool) {
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			ts.Fatalf("%s: not within %v", what, patience)
		case <-tick.C:
		}
	}
}

func scriptAgree(ts *testscript.TestScript, _ bool, args []string) {
	every(ts, fmt.Sprint("agree ", args), func() bool {
		first, ok := digest(nodeOf(ts, args[0]))
		for _, name := range args[1:] {
			d, found := digest(nodeOf(ts, name))
			ok = ok && found && d == first
		}
		return ok
	})
}

func digest(n *testNode) (string, bool) {
	c := control.NewClient(n.dir)
	defer c.Close()
	r, err := c.ShowRegion(context.Background(), defaultRegion)
	return r.Digest, err == nil && r.Entries > 0
}

func scriptUntil(ts *testscript.TestScript, _ bool, args []string) {
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	every(ts, fmt.Sprint("until ", args), func() bool {
		out, _ := command(ts, args[1], args[2:]...).CombinedOutput() // it fails until it does not
		return want.Match(out)
	})
}

func scriptHTTP(ts *testscript.TestScript, _ bool, args []string) {
	status, body, err := fetch(args[0])
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), body)
	if strconv.Itoa(status) != args[1] {
		ts.Fatalf("%s answered %d, want %s: %s", args[0], status, args[1], body)
	}
}
