package mixed

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goldenDir = "crdt/testdata/golden"

// TestGoldenFilesAreTheSame compares the golden files of yesterday's commit with today's, byte for byte. Package crdt
// holds its code to today's files: it writes exactly these bytes, and reads them. So equal files are two programs that
// write and read the same messages and records. What replicas compute and compare (digests, the places of entries) is in
// no file: the other tests hold it, since nodes that compute it otherwise never agree.
func TestGoldenFilesAreTheSame(t *testing.T) {
	t.Parallel()
	needHistory(t, yesterday)
	listed, err := git("ls-tree", "--full-tree", "--name-only", yesterday, goldenDir+"/")
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(listed))
	if len(names) == 0 {
		t.Fatalf("commit %.12s has no files in %s", yesterday, goldenDir)
	}
	for _, name := range names {
		then, err := git("show", yesterday+":"+name)
		if err != nil {
			t.Fatal(err)
		}
		now, err := os.ReadFile(filepath.Join("..", "..", name))
		if err == nil && bytes.Equal(then, now) {
			continue
		}
		t.Errorf(`%s is not what it was at commit %.12s (%v).
A golden file that changes is a wire or a disk that changes: nodes of that commit cannot read what today's write, or the
other way round. If users run that commit: give the new form a new version (wireVersion or recordVersion in package
crdt), keep reading the old one, and add golden files instead of changing these. If nobody runs it yet: move the pin in
pins_test.go to the commit that changed the file, or a later one.
then:
%s
now:
%s`, name, yesterday, err, then, now)
	}
	t.Logf("%d files are as they were at commit %.12s", len(names), yesterday)
}
