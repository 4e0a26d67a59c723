package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestMachines reads the machines in testdata. Each file says what is special about it and what is to be found.
func TestMachines(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no machines: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			fsys, want := fstest.MapFS{}, ""
			for _, f := range ar.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			if got := describe(fsys); got != want {
				t.Errorf("found:\n%swant:\n%s", got, want)
			}
		})
	}
}

func describe(fsys fs.FS) string {
	m, err := Find(fsys)
	if err != nil {
		return fmt.Sprintf("error %v\n", err)
	}
	s, err := m.Sample()
	if err != nil {
		return fmt.Sprintf("error %v\n", err)
	}
	var limits strings.Builder
	for _, l := range m.Limits {
		fmt.Fprintf(&limits, " %d", l.Bytes)
	}
	return fmt.Sprintf("tightest %v\nlimits%s\navailable %d\nuse %d of %d\nevents %d %d %d\nstalls %.2f %.2f %v\n",
		m.Tightest(), limits.String(), s.Available, s.Used, s.Limit, s.High, s.Max, s.OOM, s.Some, s.Full, s.Told)
}

// A failing file system answers every Open with one error, or gives files that fail when read.
type failing struct {
	open, read error
}

func (f failing) Open(name string) (fs.File, error) {
	if f.open != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: f.open}
	}
	return failingFile{f.read}, nil
}

type failingFile struct{ err error }

func (f failingFile) Stat() (fs.FileInfo, error) { return nil, f.err }
func (f failingFile) Read([]byte) (int, error)   { return 0, f.err }
func (f failingFile) Close() error               { return nil }

func TestWhatIsHiddenIsAbsent(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]failing{
		"not there":      {open: fs.ErrNotExist},
		"forbidden":      {open: fs.ErrPermission},
		"switched off":   {read: syscall.EOPNOTSUPP},
		"not to be read": {read: fs.ErrPermission},
	} {
		if m, err := Find(f); err != nil || m.Tightest().Bytes != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("disk on fire")
	if _, err := Find(failing{open: broken}); !errors.Is(err, broken) {
		t.Errorf("a real error becomes %v", err)
	}
}

// endless gives files without an end: reads must be bounded.
type endless struct{}

func (endless) Open(string) (fs.File, error) { return endless{}, nil }
func (endless) Stat() (fs.FileInfo, error)   { return nil, fs.ErrInvalid }
func (endless) Close() error                 { return nil }
func (endless) Read(b []byte) (int, error) {
	return copy(b, strings.Repeat("MemTotal: 1 kB\n", 1+len(b)/15)), nil
}

func TestReadsAreBounded(t *testing.T) {
	t.Parallel()
	if m, err := Find(endless{}); err != nil || m.Physical != 1024 {
		t.Errorf("%+v, %v", m, err)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("0::/a", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "MemTotal: 5 kB", "max")
	f.Fuzz(func(t *testing.T, own, mounts, info, limit string) {
		fsys := fstest.MapFS{
			"proc/self/cgroup":               {Data: []byte(own)},
			"proc/self/mountinfo":            {Data: []byte(mounts)},
			"proc/meminfo":                   {Data: []byte(info)},
			"sys/fs/cgroup/memory.max":       {Data: []byte(limit)},
			"sys/fs/cgroup/memory.stat":      {Data: []byte(info)},
			"sys/fs/cgroup/a/memory.current": {Data: []byte(limit)},
			"proc/pressure/memory":           {Data: []byte(info)},
		}
		m, err := Find(fsys)
		if err != nil {
			return
		}
		if s, err := m.Sample(); err == nil && (s.Used < 0 || s.Limit < 0 || m.Tightest().Bytes < 0) {
			t.Errorf("%+v, %+v", m, s)
		}
	})
}
