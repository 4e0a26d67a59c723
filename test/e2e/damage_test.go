package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// ailments are what happens to files on disks.
var ailments = []struct {
	name string
	do   func([]byte) []byte
}{
	{"flipped in the middle", func(b []byte) []byte {
		for i := len(b) / 4; i < len(b)*3/4; i++ {
			b[i] ^= 0x5a
		}
		return b
	}},
	{"one bit flipped", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
	{"cut in half", func(b []byte) []byte { return b[:len(b)/2] }},
	{"emptied", func(b []byte) []byte { return b[:0] }},
}

// TestDamagedFiles damages each file of a data directory in turn, in several ways. The daemon may refuse to
// start, in one line that names the file; or it starts with everything that it acknowledged. What it must never
// do is come up with less.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	const keys = 3000
	n := harness.Start(t, harness.Options{})
	fill(t, n, "k", keys)
	n.Stop()
	intact := readTree(t, n.Dir)
	refused, survived := 0, 0
	for name, content := range intact {
		if len(content) == 0 {
			continue
		}
		for _, a := range ailments {
			dir := filepath.Join(harness.ShortDir(t), "node")
			writeTree(t, dir, intact)
			if err := os.WriteFile(filepath.Join(dir, name), a.do([]byte(content)), 0o600); err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("%s (%d bytes) %s", name, len(content), a.name)
			if startsDamaged(t, dir, what, keys, n.Started().Node.ID) {
				survived++
			} else {
				refused++
			}
		}
	}
	t.Logf("%d damaged directories refused, %d came up whole", refused, survived)
	if refused == 0 {
		t.Error("no damage was noticed")
	}
}

// startsDamaged says whether the daemon started; then it must hold everything.
func startsDamaged(t *testing.T, dir, what string, keys int, id string) bool {
	t.Helper()
	n := harness.NewNode(t, harness.Options{Dir: dir})
	if err := n.TryStart(); err != nil {
		// The log was shown to nobody yet: it must hold one line that says why.
		said := harness.Complaint(t, harness.Result{Stderr: n.AllLog()})
		if !strings.HasPrefix(said, "--data-dir "+dir) || !strings.Contains(said, "damaged") {
			t.Errorf("%s: %v: %s", what, err, said)
		}
		return false
	}
	defer n.Kill()
	if got := n.Do("DBSIZE"); got != int64(keys) {
		t.Errorf("%s: the daemon started with %v of %d keys", what, got, keys)
	}
	if got := n.Do("GET", fmt.Sprintf("k:%d", keys-1)); got != "value" {
		t.Errorf("%s: the daemon started with a last key of %v", what, got)
	}
	if s := n.Started(); s.Node.ID != id {
		t.Errorf("%s: the daemon started as %s, it was %s", what, s.Node.ID, id)
	}
	return true
}

func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
