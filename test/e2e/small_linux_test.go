package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// A cage is a cgroup with a limit of memory.
type cage struct {
	folder string
	v2     bool
}

// newCage makes one, of version 2 where memory is controlled there, else of version 1, or skips.
func newCage(t *testing.T, limit int64) *cage {
	t.Helper()
	name := fmt.Sprintf("edgemem-test-%d", os.Getpid())
	for _, c := range []*cage{
		{filepath.Join("/sys/fs/cgroup", name), true},
		{filepath.Join("/sys/fs/cgroup/memory", name), false},
	} {
		if !c.hasMemory() || os.Mkdir(c.folder, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			harness.Eventually(t, 10*time.Second, "an empty cgroup", func() error { return os.Remove(c.folder) })
		})
		file := "memory.limit_in_bytes"
		if c.v2 {
			file = "memory.max"
		}
		must(t, os.WriteFile(filepath.Join(c.folder, file), []byte(strconv.FormatInt(limit, 10)), 0))
		if c.v2 { // swap would hide that it does not fit
			_ = os.WriteFile(filepath.Join(c.folder, "memory.swap.max"), []byte("0"), 0) // absent where there is no swap
		}
		return c
	}
	t.Skip("SKIPPED: a device with 64 MiB of memory is NOT tested here: making a cgroup with a limit of memory needs root and its controller")
	return nil
}

func (c *cage) hasMemory() bool {
	if !c.v2 {
		_, err := os.Stat(filepath.Join(filepath.Dir(c.folder), "memory.limit_in_bytes"))
		return err == nil
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(c.folder), "cgroup.subtree_control"))
	return err == nil && strings.Contains(" "+strings.TrimSpace(string(text))+" ", " memory ")
}

// wrap runs a command inside. It reads the program first: its pages are to count here, and not where it was built.
func (c *cage) wrap() []string {
	return []string{"sh", "-c", `echo $$ > "$0/cgroup.procs" && cat "$1" > /dev/null && exec "$@"`, c.folder}
}

// kills is how often the kernel killed a process inside for want of memory.
func (c *cage) kills(t *testing.T) int {
	t.Helper()
	file := "memory.oom_control"
	if c.v2 {
		file = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(c.folder, file))
	must(t, err)
	m := regexp.MustCompile(`(?m)^oom_kill (\d+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s tells nothing of oom_kill: %s", file, text)
	}
	n, err := strconv.Atoi(string(m[1]))
	must(t, err)
	return n
}

// TestDeviceOf64MiB gives a device 64 MiB of memory for all that it is, the program and its files included. It joins a fabric that holds data, takes
// writes until its budget is used up, and lives: it says why it refuses, reads, merges, removes, and is back after a kill.
func TestDeviceOf64MiB(t *testing.T) {
	hub := harness.Start(t, harness.Options{Name: "hub", Tier: "cloud"})
	const before = 8000
	load(t, hub, "hub", before, 500)

	c := newCage(t, 64<<20)
	// A program of its own: pages of the other one are in memory already, at somebody else's expense.
	program := filepath.Join(harness.ShortDir(t), "edgemem")
	text, err := os.ReadFile(harness.Binary)
	must(t, err)
	must(t, os.WriteFile(program, text, 0o755))
	dev := harness.Start(t, harness.Options{Name: "dev", Join: hub.Ticket(), Program: program, Wrap: c.wrap()})
	pid := dev.PID()
	harness.Converge(t, 30*time.Second, "default", hub, dev)

	n, refusal := 0, ""
	for conn := dev.Dial(); refusal == "" && n < 1_000_000; n += 100 {
		if _, err := conn.Do(batch("dev", n, 100, 500)...); err != nil {
			refusal = err.Error()
		}
	}
	for _, want := range []string{"OOM", "memory budget used up", `region "default"`, "bytes are used"} {
		if !strings.Contains(refusal, want) {
			t.Errorf("a refused write says %q, without %q", refusal, want)
		}
	}
	t.Logf("full after %d writes of 500 bytes", n)

	if got, _ := dev.Do("get", "dev:5").(string); len(got) != 500 {
		t.Errorf("a read of a full device gives %d bytes", len(got))
	}
	hub.Do("set", "from-hub", "while full")
	harness.Eventually(t, 30*time.Second, "a merge into a full device", func() error {
		if got := dev.Do("get", "from-hub"); got != "while full" {
			return fmt.Errorf("get: %v", got)
		}
		return nil
	})
	for i := range 40 {
		line := []string{"del"}
		for j := range 100 {
			line = append(line, fmt.Sprintf("dev:%d", i*100+j))
		}
		dev.Do(line...)
	}
	harness.Eventually(t, 30*time.Second, "writes again", func() error {
		conn := dev.Dial()
		defer conn.Close()
		_, err := conn.Do("set", "again", "yes")
		return err
	})
	harness.Converge(t, 60*time.Second, "default", hub, dev)
	if dev.PID() != pid || !dev.Running() {
		t.Error("the device did not live through it")
	}
	dev.Kill()
	dev.Start()
	harness.Converge(t, 60*time.Second, "default", hub, dev)
	dev.Stop()
	if n := c.kills(t); n > 0 {
		t.Errorf("the kernel killed %d processes for want of memory", n)
	}
}

// batch is an MSET of count keys from first on.
func batch(prefix string, first, count, size int) []string {
	line := []string{"mset"}
	for i := first; i < first+count; i++ {
		line = append(line, fmt.Sprintf("%s:%d", prefix, i), strings.Repeat(string(rune('a'+i%26)), size))
	}
	return line
}

func load(t *testing.T, n *harness.Node, prefix string, count, size int) {
	t.Helper()
	conn := n.Dial()
	for i := 0; i < count; i += 100 {
		if _, err := conn.Do(batch(prefix, i, 100, size)...); err != nil {
			t.Fatal(err)
		}
	}
}

// readOnly runs a command where all is read-only but one directory. Variables that would name another are gone.
const readOnly = `mount --bind "$0" "$0" || exit 77
while read -r _ _ _ _ at _; do
	case "$at" in "$0"|/proc|/proc/*) ;; *) mount -o remount,bind,ro "$at" 2>/dev/null ;; esac
done < /proc/self/mountinfo
if touch "${0%/*}/writable" 2>/dev/null || touch /tmp/writable 2>/dev/null; then exit 78; fi
exec env -i PATH="$PATH" "$@"`

// TestReadOnlyRoot: a node needs one writable directory and nothing else: no /tmp, no home. With strace it also shows that it does not try.
func TestReadOnlyRoot(t *testing.T) {
	base := harness.ShortDir(t)
	dir := filepath.Join(base, "data")
	must(t, os.Mkdir(dir, 0o700))
	inside := []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", readOnly, dir}
	if out, err := exec.Command(inside[0], append(inside[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: a node on a read-only root is NOT tested here: a mount namespace needs root and unshare: %v\n%s", err, out)
	}
	trace := filepath.Join(base, "trace")
	wrap := inside
	if _, err := exec.LookPath("strace"); err == nil {
		wrap = append([]string{"strace", "-A", "-D", "-f", "-y", "-q", "-o", trace,
			"-e", "trace=execve,open,openat,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"}, inside...)
	} else {
		trace = ""
		t.Log("SKIPPED: that a node does not even try to write elsewhere is NOT tested here: strace is missing")
	}
	hub := harness.Start(t, harness.Options{Name: "hub", Tier: "cloud"})
	n := harness.Start(t, harness.Options{Name: "fixed", Dir: dir, Join: hub.Ticket(), Wrap: wrap})
	load(t, n, "k", 3000, 500)
	harness.Converge(t, 30*time.Second, "default", hub, n)
	command := func(args ...string) {
		t.Helper()
		line := append(append([]string{}, inside...), harness.Binary)
		if r := harness.Run(t, "", append(append(line, args...), "--data-dir", dir)...); r.Code != 0 {
			t.Errorf("edgemem %q on a read-only root: %+v", args, r)
		}
	}
	command("checkpoint")
	command("doctor")
	command("backup", filepath.Join(dir, "fixed.bak"))
	n.Stop()
	n.Start()
	harness.Converge(t, 30*time.Second, "default", hub, n)
	n.Stop()
	if trace == "" {
		return
	}
	writes, elsewhere := traced(t, trace, dir)
	if writes == 0 {
		t.Error("the trace shows no write at all: it is not read right")
	}
	for _, line := range elsewhere {
		t.Errorf("writes outside its directory: %s", line)
	}
}

var (
	traceCall = regexp.MustCompile(`^\d+ +(\w+)\(`)
	tracePath = regexp.MustCompile(`(?:<([^>]*)>, )?"([^"]*)"`)
)

// traced reads what strace saw of the daemon, and gives how often it opened to write or changed a name, and where that was not in dir.
func traced(t *testing.T, file, dir string) (writes int, elsewhere []string) {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	began := false
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		line := scan.Text()
		call := traceCall.FindStringSubmatch(line)
		switch {
		case call == nil:
			continue
		case call[1] == "execve":
			began = strings.Contains(line, `execve("`+harness.Binary+`"`)
			continue
		case !began, strings.HasPrefix(call[1], "open") && !strings.Contains(line, "O_WRONLY") && !strings.Contains(line, "O_RDWR") && !strings.Contains(line, "O_CREAT"):
			continue
		}
		for _, m := range tracePath.FindAllStringSubmatch(line, -1) {
			path := m[2]
			if !filepath.IsAbs(path) {
				path = filepath.Join(m[1], path)
			}
			writes++
			if path != dir && !strings.HasPrefix(path, dir+"/") && path != os.DevNull {
				elsewhere = append(elsewhere, line)
			}
		}
	}
	must(t, scan.Err())
	return writes, elsewhere
}
