package persist_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

// residentBytesMax is what a device's store at rest adds to a process: the program's own pages grow with what else is in it.
const residentBytesMax = 19 << 20

// playResident prints the resident bytes of a process at three points of a store's life.
func playResident(dir string) int {
	print := func(name string) {
		runtime.GC()
		debug.FreeOSMemory()
		fmt.Printf("%s %d %d\n", name, statusBytes("RssAnon"), statusBytes("RssFile"))
	}
	print("before")
	s, err := persist.Open(persist.Config{Dir: dir})
	if err != nil {
		return report(err)
	}
	print("opened")
	if err := s.Load(func(_, _ []byte) error { return nil }); err != nil {
		return report(err)
	}
	print("loaded")
	for b := range 200 {
		if err := s.Commit(sampleBatch(b, 512)); err != nil {
			return report(err)
		}
	}
	print("written")
	return 0
}

func statusBytes(field string) (n int64) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return -1
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			fmt.Sscan(rest, &n)
		}
	}
	return n << 10
}

// sampleBatch has records of 16 + 100 bytes, keys of batch number b.
func sampleBatch(b, records int) []crdt.Record {
	random := rand.New(rand.NewPCG(uint64(b), 1))
	recs := make([]crdt.Record, records)
	for i := range recs {
		value := make([]byte, 0, 104)
		for len(value) < 100 {
			value = binary.LittleEndian.AppendUint64(value, random.Uint64())
		}
		recs[i] = crdt.Record{Key: fmt.Appendf(nil, "%016d", b*records+i), Value: value[:100]}
	}
	return recs
}

func TestResident(t *testing.T) {
	if statusBytes("RssAnon") <= 0 {
		t.Skip("SKIPPED: resident memory is read from /proc/self/status, which this system lacks")
	}
	if raceEnabled {
		t.Skip("SKIPPED: the race detector multiplies resident memory")
	}
	dir := filepath.Join(t.TempDir(), "store")
	for _, life := range []string{"new store", "store of 100 k records"} {
		out, err := child("resident", "DIR="+dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Logf("%s:\n%s", life, out)
		var before int64
		for line := range strings.Lines(string(out)) {
			var when string
			var anon, file int64
			fmt.Sscan(line, &when, &anon, &file)
			switch when {
			case "before":
				before = anon + file
			case "opened":
				if added := anon + file - before; added > residentBytesMax {
					t.Errorf("%s: it adds %d resident bytes, want at most %d", life, added, residentBytesMax)
				}
			}
		}
	}
}
