package persist

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

func privateOf(t *testing.T, s *Store) (out map[string]string, copied bool) {
	t.Helper()
	out = map[string]string{}
	copied, err := s.Private(func(k, v []byte) error { out[string(k)] = string(v); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return out, copied
}

func openDir(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir, ReclaimInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestPrivateRecordsAreOfOneDirectory: they are there after a restart, and neither in a backup nor believed in a copy.
func TestPrivateRecordsAreOfOneDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a")
	s := openDir(t, dir)
	if got, copied := privateOf(t, s); len(got) > 0 || copied {
		t.Fatalf("a new store has %v, copied %v", got, copied)
	}
	if err := s.CommitPrivate([]crdt.Record{{Key: []byte("x"), Value: []byte("1")}, {Key: []byte("y"), Value: []byte("2")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.CommitPrivate([]crdt.Record{{Key: []byte("y")}, {Key: []byte("z"), Value: []byte{}}}); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := s.Load(func(_, _ []byte) error { n++; return nil }); err != nil || n != 0 {
		t.Errorf("Load gives %d records, %v", n, err)
	}
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup, Backup{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	want := map[string]string{"x": "1", "z": ""}
	again := openDir(t, dir)
	if got, copied := privateOf(t, again); !maps.Equal(got, want) || copied {
		t.Errorf("after a restart %v, copied %v", got, copied)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}

	twin := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(twin, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	c := openDir(t, twin)
	if _, copied := privateOf(t, c); !copied {
		t.Error("a copy of the directory is not known as one")
	}
	if err := c.CommitPrivate(nil); err != nil {
		t.Fatal(err)
	}
	if _, copied := privateOf(t, c); copied {
		t.Error("a copy that began anew is still a copy")
	}

	back := filepath.Join(t.TempDir(), "back")
	if _, err := RestoreBackup(t.Context(), io.Reader(&backup), Restore{Dir: back}); err != nil {
		t.Fatal(err)
	}
	if got, _ := privateOf(t, openDir(t, back)); len(got) > 0 {
		t.Errorf("a backup has %v", got)
	}
}
