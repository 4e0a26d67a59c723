package disk

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func mount(t *testing.T, o Options) (*Disk, string) {
	t.Helper()
	d, dir := New(o), t.TempDir()
	if err := d.Mount(dir); errors.Is(err, ErrNoFUSE) {
		t.Skipf("SKIPPED: the disk is NOT tested here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Abandon)
	return d, dir
}

// again cuts the power with the worst fate, and mounts.
func again(t *testing.T, d *Disk, dir string) {
	t.Helper()
	check(t, d.Unmount())
	var r Report
	d.root.cut(&fate{rnd: rand.New(rand.NewPCG(0, 0))}, &r)
	check(t, d.Mount(dir))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMount: files, folders and names as everywhere, before and after the power is cut.
func TestMount(t *testing.T) {
	t.Parallel()
	d, dir := mount(t, Options{})
	synced := bytes.Repeat([]byte("synced."), 3000)
	check(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700))
	name := filepath.Join(dir, "a", "b", "file")
	f, err := os.Create(name)
	check(t, err)
	_, err = f.Write(synced)
	check(t, err)
	check(t, f.Sync())
	_, err = f.WriteAt([]byte("lost"), 100)
	check(t, err)
	check(t, f.Close())
	check(t, os.WriteFile(filepath.Join(dir, "never synced"), synced, 0o600))
	check(t, os.Rename(name, name+".new"))
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was renamed: %v", err)
	}
	again(t, d, dir)
	got, err := os.ReadFile(name)
	check(t, err)
	if !bytes.Equal(got, synced) {
		t.Errorf("%d bytes after the cut, or others than were synced", len(got))
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("after the cut: %v, %v", list, err)
	}
}

// role makes the test binary play a part in a child process.
const role = "EDGEMEM_DISK_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "map" {
		playMap(os.Args[1], os.Args[2], os.Args[3] == "sync")
		return
	}
	os.Exit(m.Run())
}

const mapBytes = 1 << 20

// playMap stores text to a mapped file, at as many bytes as the text says.
func playMap(name, text string, sync bool) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	must(err)
	must(f.Truncate(mapBytes))
	m, err := unix.Mmap(int(f.Fd()), 0, mapBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(err)
	at, err := strconv.Atoi(text)
	must(err)
	copy(m[at:], text)
	if sync {
		must(unix.Msync(m, unix.MS_SYNC))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// TestMapped: what is stored to a map is safe after msync, and not before. A child does it: a process that serves a file system and
// touches a map of it waits for itself, if its garbage collector comes in between.
func TestMapped(t *testing.T) {
	t.Parallel()
	d, dir := mount(t, Options{})
	name := filepath.Join(dir, "log")
	write := func(args ...string) {
		cmd := exec.Command(os.Args[0], append([]string{name}, args...)...)
		cmd.Env = append(os.Environ(), role+"=map")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	write("10", "sync")
	write("5000", "no")
	again(t, d, dir)
	got, err := os.ReadFile(name)
	check(t, err)
	if len(got) != mapBytes || string(got[10:12]) != "10" || bytes.Contains(got, []byte("5000")) {
		t.Errorf("after the cut the log has %d bytes, begins %q", len(got), bytes.TrimRight(got[:20], "\x00"))
	}
}

// TestHold: from then on nothing becomes safe, and nobody hears that it has.
func TestHold(t *testing.T) {
	t.Parallel()
	d, dir := mount(t, Options{})
	f, err := os.Create(filepath.Join(dir, "f"))
	check(t, err)
	defer f.Close()
	check(t, f.Sync())
	d.Hold()
	answered := make(chan error, 1)
	go func() {
		_, err := f.Write([]byte("x"))
		answered <- errors.Join(err, f.Sync())
	}()
	d.Release()
	if err := <-answered; !errors.Is(err, unix.EIO) {
		t.Errorf("a sync without power: %v", err)
	}
}

// TestFlip: rot shows, and can be undone.
func TestFlip(t *testing.T) {
	t.Parallel()
	d, dir := mount(t, Options{})
	check(t, os.WriteFile(filepath.Join(dir, "f"), []byte("hello"), 0o600))
	check(t, d.Unmount())
	at, bit, err := d.Flip("f", rand.New(rand.NewPCG(0, 0)))
	check(t, err)
	read := func() string {
		check(t, d.Mount(dir))
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		check(t, err)
		check(t, d.Unmount())
		return string(got)
	}
	if got := read(); got == "hello" || len(got) != 5 {
		t.Errorf("flipped: %q", got)
	}
	check(t, d.FlipAt("f", at, bit))
	if got := read(); got != "hello" {
		t.Errorf("flipped back: %q", got)
	}
}

// TestLie: a disk that lies loses what was synced.
func TestLie(t *testing.T) {
	t.Parallel()
	d, dir := mount(t, Options{Lie: true})
	f, err := os.Create(filepath.Join(dir, "f"))
	check(t, err)
	_, err = f.WriteString("synced")
	check(t, errors.Join(err, f.Sync(), f.Close()))
	again(t, d, dir)
	if got, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}
