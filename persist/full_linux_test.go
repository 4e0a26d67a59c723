package persist_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

// TestFullDisk fills a small file system, with the store's own writes and with another's file.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("SKIPPED: a full disk is NOT tested here: mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	config := persist.Config{Dir: filepath.Join(dir, "store"), MemtableBytes: 1 << 20, MinFreeBytes: 16 << 20}
	s, err := persist.Open(config)
	check(t, err)

	acknowledged := fill(t, s)
	if acknowledged < 20 {
		t.Fatalf("full after %d batches", acknowledged)
	}
	st, err := s.Stats()
	check(t, err)
	if st.Refused != 1 || st.Failed != nil {
		t.Errorf("stats: %+v", st)
	}
	check(t, s.Commit([]crdt.Record{{Key: []byte("0/0")}})) // deleting is still allowed
	check(t, s.RoomForRemoves())
	check(t, s.CommitRemoves([]crdt.Record{{Key: []byte("0/0")}, one("ghost", "of 0/0")[0]}))

	check(t, persist.Drain(s))
	ballast := filepath.Join(dir, "ballast")
	free, err := persist.FreeBytes(dir)
	check(t, err)
	check(t, os.WriteFile(ballast, make([]byte, free-6<<20), 0o600))
	if err := s.Commit([]crdt.Record{{Key: []byte("0/1")}}); !errors.Is(err, persist.ErrFull) {
		t.Errorf("deleting below half of the reserve: %v, want ErrFull", err)
	}
	if err := errors.Join(s.CommitRemoves(one("ghost", "of 0/1")), s.RoomForRemoves()); !errors.Is(err, persist.ErrFull) {
		t.Errorf("removing below half of the reserve: %v, want ErrFull", err)
	}
	check(t, os.Remove(ballast)) // else it would not be closed whole, see abandon
	check(t, s.Close())
	free, err = persist.FreeBytes(dir)
	check(t, err)
	check(t, os.WriteFile(ballast, make([]byte, free-3<<20), 0o600))
	if _, err := persist.Open(config); !errors.Is(err, persist.ErrFull) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("open without room: %v, want ErrFull", err)
	}

	check(t, os.Remove(ballast))
	config.MinFreeBytes = 4 << 20
	s = openStore(t, config)
	if n := count(t, s); n != acknowledged*fillRecords { // one is removed, and one is what that left
		t.Errorf("%d records, want %d", n, acknowledged*fillRecords)
	}
	check(t, s.Commit(one("room", "again")))
}

const fillRecords = 8

// fill commits half-compressible batches until one is refused.
func fill(t *testing.T, s *persist.Store) (acknowledged int) {
	t.Helper()
	for b := range 10_000 {
		recs := make([]crdt.Record, fillRecords)
		for i := range recs {
			recs[i] = one(fmt.Sprintf("%d/%d", b, i), strings.Repeat(fmt.Sprint(b, i), 8<<10))[0]
		}
		err := s.Commit(recs)
		if errors.Is(err, persist.ErrFull) {
			return acknowledged
		}
		check(t, err)
		acknowledged++
	}
	t.Fatal("never full")
	return 0
}
