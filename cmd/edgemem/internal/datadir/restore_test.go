package datadir

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holding makes a data directory whose store holds one value.
func holding(t *testing.T, dir, value string) {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o700))
	s, err := persist.Open(persist.Config{Dir: StorePath(dir)})
	check(t, err)
	check(t, s.Commit([]crdt.Record{{Key: []byte("k"), Value: []byte(value)}}))
	check(t, s.Close())
}

func held(t *testing.T, dir string) (value string) {
	t.Helper()
	s, err := persist.Open(persist.Config{Dir: StorePath(dir)})
	check(t, err)
	check(t, s.Load(func(_, v []byte) error { value = string(v); return nil }))
	check(t, s.Close())
	return value
}

func backupOf(t *testing.T, dir string) []byte {
	t.Helper()
	s, err := persist.Open(persist.Config{Dir: StorePath(dir)})
	check(t, err)
	var b bytes.Buffer
	how, err := Backup(dir, "test", false)
	check(t, err)
	_, err = s.Backup(t.Context(), &b, how)
	check(t, errors.Join(err, s.Close()))
	return b.Bytes()
}

var quiet = slog.New(slog.DiscardHandler)

// TestRestoreDiesAnywhere ends a restore before each of its steps and lets another come next: a start of the node, or a restore.
func TestRestoreDiesAnywhere(t *testing.T) {
	source := t.TempDir()
	holding(t, source, "new")
	data := backupOf(t, source)
	// step makes the directory as it is when the restore died there.
	for _, c := range []struct {
		name string
		die  func(dir string)
		want string
	}{
		{"while it read", func(dir string) {
			check(t, os.Mkdir(filepath.Join(dir, building), 0o700))
			holding(t, filepath.Join(dir, building), "half")
		}, "old"},
		{"before the first rename", func(dir string) { built(t, dir) }, "new"},
		{"after the old store went aside", func(dir string) {
			aside := built(t, dir)
			check(t, os.Rename(StorePath(dir), filepath.Join(aside, storeFolder)))
		}, "new"},
		{"after the store, before the end", func(dir string) {
			aside := built(t, dir)
			check(t, os.Rename(StorePath(dir), filepath.Join(aside, storeFolder)))
			check(t, os.Rename(filepath.Join(dir, building, storeFolder), StorePath(dir)))
		}, "new"},
		{"before the marker went", func(dir string) {
			aside := built(t, dir)
			check(t, os.Rename(StorePath(dir), filepath.Join(aside, storeFolder)))
			check(t, os.Rename(filepath.Join(dir, building, storeFolder), StorePath(dir)))
			check(t, os.RemoveAll(filepath.Join(dir, building)))
		}, "new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			holding(t, dir, "old")
			c.die(dir)
			check(t, Ready(dir, quiet))
			if got := held(t, dir); got != c.want || exists(dir, switching) {
				t.Errorf("after a start: %q, want %q", got, c.want)
			}
			dir = filepath.Join(t.TempDir(), "data")
			holding(t, dir, "old")
			c.die(dir)
			rep, err := Restore(t.Context(), bytes.NewReader(data), Options{Dir: dir, Force: true})
			check(t, err)
			if got := held(t, dir); got != "new" || exists(dir, switching) || exists(dir, building) || rep.Aside == "" {
				t.Errorf("after a restore: %q, %+v", got, rep)
			}
		})
	}
}

// built is a restore that is whole, with the marker, and nothing in place yet.
func built(t *testing.T, dir string) (aside string) {
	t.Helper()
	holding(t, filepath.Join(dir, building), "new")
	aside = filepath.Join(dir, asidePrefix+"then")
	check(t, os.Mkdir(aside, 0o700))
	check(t, writeSynced(filepath.Join(dir, switching), filepath.Base(aside)))
	return aside
}

func TestRestoreRefuses(t *testing.T) {
	source := t.TempDir()
	holding(t, source, "new")
	data := backupOf(t, source)
	dir := filepath.Join(t.TempDir(), "data")
	holding(t, dir, "old")
	if _, err := Restore(t.Context(), bytes.NewReader(data), Options{Dir: dir}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a directory with a node: %v, want ErrNotEmpty", err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(data[:len(data)-1]), Options{Dir: dir, Force: true}); !errors.Is(err, persist.ErrBackup) {
		t.Errorf("a cut backup: %v, want ErrBackup", err)
	}
	if exists(dir, building) || held(t, dir) != "old" {
		t.Error("a refused restore changed the directory")
	}
	// Two at once: the second is told, and the first goes on.
	r, w := io.Pipe()
	fresh := filepath.Join(t.TempDir(), "fresh")
	first := make(chan error, 1)
	go func() { _, err := Restore(t.Context(), r, Options{Dir: fresh}); first <- err }()
	_, err := w.Write(data[:len(data)-10])
	check(t, err)
	if _, err := Restore(t.Context(), bytes.NewReader(data), Options{Dir: fresh}); !errors.Is(err, persist.ErrLocked) {
		t.Errorf("a second restore: %v, want ErrLocked", err)
	}
	_, err = w.Write(data[len(data)-10:])
	check(t, errors.Join(err, w.Close(), <-first))
	if held(t, fresh) != "new" {
		t.Error("the first restore is not whole")
	}
}
