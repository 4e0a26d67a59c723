package harness

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Result is how a command ended.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// commandTimeout ends a command that hangs; the test then sees exit code -1.
const commandTimeout = 90 * time.Second

// Run runs a program to its end, with stdin as its input.
func Run(t testing.TB, stdin string, line ...string) Result {
	t.Helper()
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = Environment()
	return RunCommand(t, stdin, cmd)
}

// RunCommand is Run for a command with an environment or folder of its own.
func RunCommand(t testing.TB, stdin string, cmd *exec.Cmd) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	p, err := launch(cmd)
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	if !p.endsWithin(commandTimeout) {
		_ = cmd.Process.Kill() // it may end just now
		<-p.exited
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Edgemem runs one edgemem command.
func Edgemem(t testing.TB, args ...string) Result {
	t.Helper()
	return Run(t, "", append([]string{Binary}, args...)...)
}

// CLI runs an edgemem command against this node's daemon, wants exit code 0, and gives what it printed.
func (n *Node) CLI(args ...string) string {
	n.t.Helper()
	r := Edgemem(n.t, append(args, "--data-dir", n.Dir)...)
	if r.Code != 0 {
		n.t.Fatalf("%s: edgemem %q: exit code %d\n%s%s", n.Name, args, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// CLIStatus is what a script reads from `edgemem status -o json`.
func (n *Node) CLIStatus() (s Status) {
	n.t.Helper()
	if err := json.Unmarshal([]byte(n.CLI("status", "-o", "json")), &s); err != nil {
		n.t.Fatal(err)
	}
	return s
}

// Ticket invites one node.
func (n *Node) Ticket(flags ...string) string {
	n.t.Helper()
	out := n.CLI(append([]string{"invite"}, flags...)...)
	ticket, rest, ok := strings.Cut(out, "\n")
	if !ok || rest != "" || ticket == "" || strings.ContainsAny(ticket, " \t") {
		n.t.Fatalf("edgemem invite printed %q, want a ticket alone on one line", out)
	}
	return ticket
}

// Refused starts the daemon and wants it to end by itself, before it was ready, with this exit code and a
// message of one line on standard error, which it returns.
func (n *Node) Refused(code int) string {
	n.t.Helper()
	r := Edgemem(n.t, n.Arguments()...)
	if r.Code != code {
		n.t.Fatalf("edgemem %q: exit code %d, want %d\n%s", n.Arguments(), r.Code, code, r.Stderr)
	}
	return Complaint(n.t, r)
}

// Complaint gives the one line with which a command said why it failed; what the log says before it, and the
// hint at --help after it, are not counted.
func Complaint(t testing.TB, r Result) string {
	t.Helper()
	var said []string
	for line := range strings.Lines(r.Stderr) {
		line = strings.TrimSpace(line)
		text, ours := strings.CutPrefix(line, "edgemem: ")
		if !ours || strings.HasPrefix(line, "time=") || strings.Contains(line, "--help' explains it") {
			continue
		}
		said = append(said, text)
	}
	if len(said) != 1 {
		t.Fatalf("want one line that says why, got %q\nall of it:\n%s", said, r.Stderr)
	}
	return said[0]
}
