package persist

import (
	"context"
	"fmt"
	"time"
)

// Checkpoint is what Store.Checkpoint did.
type Checkpoint struct {
	Commit        uint64        `json:"commit"`                   // up to which all is in tables
	Files         int           `json:"value_logs_freed"`         // by the collection
	Before        Disk          `json:"before"`                   // on disk
	After         Disk          `json:"after"`                    // on disk
	Took          time.Duration `json:"took_ns"`                  // all of it
	CollectFailed string        `json:"collect_failed,omitempty"` // why the value log was not collected
}

// Disk is what a store takes on disk, in bytes of blocks.
type Disk struct {
	Tables    int64 `json:"tables_bytes"`
	Logs      int64 `json:"logs_bytes"`
	Journal   int64 `json:"journal_bytes"`
	ValueLogs int64 `json:"value_logs_bytes"`
}

// Total adds them up.
func (d Disk) Total() int64 { return d.Tables + d.Logs + d.Journal + d.ValueLogs }

// Disk gives the part of the statistics that is about bytes on disk.
func (st Stats) Disk() Disk { return Disk{st.LSMBytes, st.LogBytes, st.JournalBytes, st.ValueLogBytes} }

// flushPrefix begins the key of a record that is written only to be dropped again, see flush.
var flushPrefix = []byte{0x02}

// Checkpoint writes what is in the journal and in write-ahead logs into tables, drops what was overwritten there, and collects the value log. Nothing
// becomes more durable by it, since commits are; a restart is quicker and the disk emptier. Commits go on while the journal has room.
// Errors: ErrFull, ErrFailed, the context's.
func (s *Store) Checkpoint(ctx context.Context) (c Checkpoint, err error) {
	if err := s.enter(); err != nil {
		return c, err
	}
	defer s.leave()
	start := time.Now()
	if c.Before, err = s.disk(); err != nil {
		return c, err
	}
	if c.Commit, err = s.flush(); err != nil {
		return c, err
	}
	if err := ctx.Err(); err != nil {
		return c, err
	}
	if c.Files, err = s.reclaim(); err != nil {
		c.CollectFailed = err.Error()
	}
	s.trim()
	c.After, err = s.disk()
	c.Took = time.Since(start)
	return c, err
}

func (s *Store) disk() (Disk, error) {
	var st Stats
	err := st.addFiles(s.dir)
	return st.Disk(), err
}

// flush empties the journal, and the memtable into tables and compacts the newest of those. Badger does both on its own only when a memtable is full. It has no
// call for it but one that drops a prefix, and does nothing where nothing begins so.
func (s *Store) flush() (commit uint64, err error) {
	if commit, err = s.drainAll(); err != nil {
		return commit, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = s.fail(fmt.Errorf("checkpoint: Badger gave up: %v", r))
		}
	}()
	key := append(flushPrefix[:1:1], 'f')
	// It makes room on a full disk, and the reserve is there for compactions.
	if err := s.writeDirectly(s.config.MinFreeBytes/2, []pair{{key, seal(nil, key, nil, nil)}}); err != nil {
		return commit, err
	}
	if err := s.compaction.around(func() error { return s.db.DropPrefix(flushPrefix) }); err != nil {
		return commit, s.fail(fmt.Errorf("checkpoint: %w", err))
	}
	s.flushed = s.commits
	return commit, s.putMark(false, true)
}

// logsMax is how many bytes of write-ahead logs a scheduled collection leaves: they hold every overwrite since the last flush, and with a
// server's memtables that can be a hundred times what lives.
const logsMax = 4 << 20

// tidy is the scheduled flush.
func (s *Store) tidy(full bool) error {
	s.mu.Lock()
	idle := s.failure() != nil || s.commits == s.flushed && s.isDrained()
	s.mu.Unlock()
	d, err := s.disk()
	if err != nil || idle || d.Logs+d.Journal <= logsMax && !full {
		return err
	}
	_, err = s.flush()
	return err
}
