package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// smallDisk mounts a file system of its own, or skips.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := filepath.Join(harness.ShortDir(t), "disk")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED: a node on a full disk is NOT tested here: mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// eat fills the disk, as another program would, and leaves so many bytes.
func eat(t *testing.T, path string, left int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	must(t, err)
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		var st syscall.Statfs_t
		must(t, syscall.Statfs(filepath.Dir(path), &st))
		if free := int64(st.Bavail) * int64(st.Bsize); free <= left {
			return
		}
		if _, err := f.Write(block); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// TestFullDisk fills the disk of a node by its own writes and then by another program's, kills the node on the full disk, lets it merge, stops it,
// and frees the disk. Nothing acknowledged as disk is lost, and nobody has to start the node for it to take writes again.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, "160m")
	b := harness.Start(t, harness.Options{Name: "b", Tier: "edge"})
	a := harness.Start(t, harness.Options{Name: "a", Dir: filepath.Join(disk, "a"), Join: b.Ticket()})
	a.CLI("region", "create", "safe", "--ack", "disk")
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 80<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	acked := fillSafe(t, a)
	t.Logf("full after %d writes", acked)

	full := func(n *harness.Node) {
		t.Helper()
		harness.Eventually(t, 20*time.Second, "the status says that the disk is full", func() error {
			out := harness.Edgemem(t, "status", "--data-dir", n.Dir).Stdout
			if !strings.Contains(out, "FULL: no writes") || !strings.Contains(out, "disk-full") {
				return fmt.Errorf("status: %s", out)
			}
			return nil
		})
		text := refusal(t, n)
		for _, want := range []string{"MISCONF", "disk full", disk, "bytes", "make room"} {
			if !strings.Contains(text, want) {
				t.Errorf("a refused write says %q, without %q", text, want)
			}
		}
	}
	merges := func(n *harness.Node, value string) {
		t.Helper()
		b.Do("set", "from-b", value)
		harness.Eventually(t, 20*time.Second, "a merge of "+value, func() error {
			if got := n.Do("get", "from-b"); got != value {
				return fmt.Errorf("get: %v", got)
			}
			return nil
		})
	}
	more := filepath.Join(disk, "more")
	full(a)
	merges(a, "while full")
	a.Kill()
	eat(t, more, 12<<20) // a start tidies up, and could make room
	a.Start()
	eat(t, more, 12<<20)
	full(a)
	merges(a, "after a kill on a full disk")
	eat(t, more, 0)
	full(a)
	merges(a, "without a free block")
	backup := filepath.Join(harness.ShortDir(t), "a.bak")
	if r := harness.Edgemem(t, "backup", backup, "--data-dir", a.Dir); r.Code != 0 || !strings.Contains(r.Stderr, "is not in the backup") {
		t.Errorf("a backup on a full disk: %+v", r)
	}
	a.Kill()

	must(t, os.Truncate(more, 0))
	eat(t, more, 12<<20)
	a.Start()
	eat(t, more, 12<<20)
	full(a)
	checkSafe(t, a, acked)
	merges(a, "before there is room")
	must(t, errors.Join(os.Remove(ballast), os.Remove(more)))
	harness.Eventually(t, 20*time.Second, "writes again", func() error {
		c := a.Dial()
		defer c.Close()
		if _, err := c.Do("select", "safe"); err != nil {
			return err
		}
		_, err := c.Do("set", "room", "again")
		return err
	})
	harness.Eventually(t, 20*time.Second, "the alarm is over", func() error {
		if n := len(a.MustStatus().Alarms); n != 0 {
			return fmt.Errorf("%d alarms", n)
		}
		return nil
	})
	a.Kill()
	a.Start()
	checkSafe(t, a, acked)
	if got := a.Do("get", "from-b"); got != "before there is room" {
		t.Errorf("what was merged on the full disk: %v", got)
	}
	a.Stop()
}

// TestStopOnFullDisk ends a node whose disk has no free block: it does not crash, it says what is in memory only, and what was acknowledged is there.
func TestStopOnFullDisk(t *testing.T) {
	disk := smallDisk(t, "160m")
	a := harness.Start(t, harness.Options{Name: "a", Dir: filepath.Join(disk, "a")})
	a.CLI("region", "create", "safe", "--ack", "disk")
	must(t, os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, 80<<20), 0o600))
	acked := fillSafe(t, a)
	eat(t, filepath.Join(disk, "more"), 0)
	must(t, syscall.Kill(a.PID(), syscall.SIGTERM))
	harness.Eventually(t, 5*time.Second, "the end", func() error {
		if a.Running() {
			return errors.New("it runs")
		}
		return nil
	})
	if log := a.Log(); !strings.Contains(log, "last commit: fabric: disk full") || strings.Contains(log, "SIGBUS") || strings.Contains(log, "goroutine ") {
		t.Errorf("it said:\n%s", log)
	}
	must(t, os.Remove(filepath.Join(disk, "more")))
	must(t, os.Remove(filepath.Join(disk, "ballast")))
	a.Start()
	checkSafe(t, a, acked)
}

// TestFullDiskAndMemory fills the disk and the memory budget of a node, in turn and together. Each ends in an error that says what is full; the
// node reads and merges on, takes removes, and takes writes again when there is room, without a restart: of the disk because what was removed is
// given back, of the memory because it was removed. Nothing that was acknowledged as disk is missing.
func TestFullDiskAndMemory(t *testing.T) {
	disk := smallDisk(t, "160m")
	b := harness.Start(t, harness.Options{Name: "b", Tier: "edge"})
	a := harness.Start(t, harness.Options{Name: "a", Dir: filepath.Join(disk, "a"), Join: b.Ticket(), Args: []string{"--region-memory", "64MB", "--eviction", "none"}})
	for _, name := range []string{"safe", "bulk"} {
		a.CLI("region", "create", name, "--ack", "disk")
	}
	waitForRegion(t, "safe", []*harness.Node{a, b})
	safe, bulk := dialIn(t, a, "safe"), dialIn(t, a, "bulk")
	kept := 0
	keep := func() {
		t.Helper()
		if _, err := safe.Do("set", fmt.Sprint("k", kept), safeValue(kept)); err != nil {
			t.Fatalf("a write with room for it: %v", err)
		}
		kept++
	}
	fill := func(want string) (written int) {
		t.Helper()
		for i := range 100_000 {
			if _, err := bulk.Do("set", fmt.Sprint("b", i), safeValue(i)); err != nil {
				if !strings.HasPrefix(err.Error(), want) {
					t.Fatalf("write %d: %v, want %s", i, err, want)
				}
				return i
			}
		}
		t.Fatal("never full")
		return 0
	}
	empty := func(n int) {
		t.Helper()
		for i := range n {
			if _, err := bulk.Do("del", fmt.Sprint("b", i)); err != nil {
				t.Fatalf("remove %d of %d: %v", i, n, err)
			}
		}
	}
	recovers := func(what string) {
		t.Helper()
		took := harness.Eventually(t, harness.Patience, "writes again: "+what, func() error {
			_, err := bulk.Do("set", "room", "again")
			return err
		})
		t.Logf("%s: writes again after %v", what, took.Round(time.Millisecond))
		keep()
	}
	merges := func(value string) {
		t.Helper()
		b.Do("set", "from-b", value)
		harness.Eventually(t, 20*time.Second, "a merge of "+value, func() error {
			if got := a.Do("get", "from-b"); got != value {
				return fmt.Errorf("get: %v", got)
			}
			return nil
		})
	}
	ballast := filepath.Join(disk, "ballast")

	keep()
	eat(t, ballast, 64<<20)
	n := fill("MISCONF")
	merges("on a full disk")
	empty(n)
	recovers(fmt.Sprintf("the disk, %d of %d removed", n, n))
	must(t, os.Remove(ballast))

	n = fill("OOM")
	most := n // keys, of which later rounds overwrite the first
	merges("in a full memory")
	empty(n / 4)
	recovers("the memory")

	fill("OOM")
	eat(t, ballast, 28<<20)
	harness.Eventually(t, 20*time.Second, "full of both", func() error {
		_, err := bulk.Do("set", "room", "none")
		if err == nil || !strings.HasPrefix(err.Error(), "MISCONF") {
			return fmt.Errorf("a write: %v", err)
		}
		if s := a.MustStatus(); len(s.Alarms) != 2 {
			return fmt.Errorf("alarms: %+v", s.Alarms)
		}
		return nil
	})
	merges("full of both")
	must(t, os.Remove(ballast))
	harness.Eventually(t, 20*time.Second, "full of memory only", func() error {
		_, err := bulk.Do("set", "room", "none")
		if err == nil || !strings.HasPrefix(err.Error(), "OOM") {
			return fmt.Errorf("a write: %v", err)
		}
		return nil
	})
	merges("full of memory again")
	empty(most)
	recovers("both")
	harness.Eventually(t, harness.Patience, "the end of all alarms", func() error {
		if s := a.MustStatus(); len(s.Alarms) != 0 {
			return fmt.Errorf("alarms: %+v", s.Alarms)
		}
		return nil
	})
	a.Kill()
	a.Start()
	checkSafe(t, a, kept)
	if keys, err := dialIn(t, a, "bulk").Do("dbsize"); err != nil || keys != int64(1) {
		t.Errorf("after all removes there are %v keys, %v", keys, err)
	}
}

// dialIn connects to a region.
func dialIn(t *testing.T, n *harness.Node, region string) *harness.Conn {
	t.Helper()
	c := n.Dial()
	if _, err := c.Do("select", region); err != nil {
		t.Fatal(err)
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func safeValue(i int) string { return strings.Repeat(fmt.Sprintf("%07d ", i), 1000) }

// fillSafe writes until a write is refused, and gives how many were acknowledged.
func fillSafe(t *testing.T, n *harness.Node) int {
	t.Helper()
	c := n.Dial()
	defer c.Close()
	if _, err := c.Do("select", "safe"); err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		if _, err := c.Do("set", fmt.Sprint("k", i), safeValue(i)); err != nil {
			if !strings.Contains(err.Error(), "MISCONF") {
				t.Fatalf("write %d: %v, want MISCONF", i, err)
			}
			return i
		}
	}
	t.Fatal("never full")
	return 0
}

func refusal(t *testing.T, n *harness.Node) string {
	t.Helper()
	c := n.Dial()
	defer c.Close()
	_, err := c.Do("set", "k", "v")
	if err == nil {
		t.Fatal("a write was taken on a full disk")
	}
	return err.Error()
}

func checkSafe(t *testing.T, n *harness.Node, acked int) {
	t.Helper()
	c := n.Dial()
	defer c.Close()
	if _, err := c.Do("select", "safe"); err != nil {
		t.Fatal(err)
	}
	for i := range acked {
		if got, err := c.Do("get", fmt.Sprint("k", i)); err != nil || got != safeValue(i) {
			t.Fatalf("k%d of %d: %.20v, %v", i, acked, got, err)
		}
	}
}
