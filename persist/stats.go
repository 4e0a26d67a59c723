package persist

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Stats describes a store for metrics and for the doctor. Counters begin at Open, except Commit.
type Stats struct {
	Commit        uint64        // number of the last commit since the store was made; the store's own count too
	Commits       uint64        // batches acknowledged
	Records       uint64        // records in them, deletions included
	SyncedBytes   uint64        // stored keys and sealed values in them
	Refused       uint64        // batches refused with ErrFull
	LastCommit    time.Duration // from taking a batch up to its fsync
	LongestCommit time.Duration
	Reclaims      uint64 // value-log collections run
	Reclaimed     uint64 // value-log files freed by them
	LSMBytes      int64  // disk blocks taken by tables
	LogBytes      int64  // disk blocks taken by Badger's write-ahead logs
	JournalBytes  int64  // disk blocks taken by the journal
	ValueLogBytes int64  // disk blocks taken by the value log
	FreeBytes     int64  // left on the file system for this user
	Failed        error  // why the store takes no more commits; nil: it does
}

// Stats reads counters, and the sizes of the files (one stat each).
func (s *Store) Stats() (Stats, error) {
	if err := s.enter(); err != nil {
		return Stats{}, err
	}
	defer s.leave()
	s.counting.Lock()
	st := s.counts
	st.Failed = s.failed
	s.counting.Unlock()
	s.marking.Lock()
	st.Commit = s.mark.last.journal
	s.marking.Unlock()
	var err error
	if st.FreeBytes, err = s.config.free(s.dir); err != nil {
		return st, err
	}
	return st, st.addFiles(s.dir)
}

// addFiles adds up the files of the store in dir.
func (st *Stats) addFiles(dir string) error {
	kinds := map[string]*int64{".sst": &st.LSMBytes, ".mem": &st.LogBytes, ".vlog": &st.ValueLogBytes}
	err := addBlocks(filepath.Join(dir, badgerDirName), kinds)
	if err != nil {
		return err
	}
	return addBlocks(journalPath(dir), map[string]*int64{segmentSuffix: &st.JournalBytes})
}

func addBlocks(dir string, kinds map[string]*int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("persist: stats: %w", err)
	}
	for _, e := range entries {
		total := kinds[filepath.Ext(e.Name())]
		var info unix.Stat_t
		if total == nil || unix.Lstat(filepath.Join(dir, e.Name()), &info) != nil {
			continue // not ours to count, or just compacted away
		}
		*total += info.Blocks * blockBytes // the files are sparse: their length says nothing
	}
	return nil
}

// blockBytes is the unit of Stat_t.Blocks, on every file system.
const blockBytes = 512
