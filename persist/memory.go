package persist

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/skl"
)

// Memory is what a store takes of its process beside what it reads and writes. The files are mapped: the kernel has in memory what was
// touched lately, and drops that when it needs room.
type Memory struct {
	Memtables   int   `json:"memtables"`    // each with a write-ahead log, and an arena in the Go heap
	ArenaBytes  int64 `json:"arena_bytes"`  // of the arenas; what was not written yet is not resident
	Tables      int   `json:"tables"`       // files
	ValueLogs   int   `json:"value_logs"`   // files
	MappedBytes int64 `json:"mapped_bytes"` // address space of all of them
	CacheBytes  int64 `json:"cache_bytes"`  // of decrypted blocks and indexes, at most; 0 for a plain store
}

// Memory tells it. Errors: ErrClosed, the file system's.
func (s *Store) Memory() (m Memory, err error) {
	if err := s.enter(); err != nil {
		return m, err
	}
	defer s.leave()
	entries, err := os.ReadDir(s.sub)
	if err != nil {
		return m, fmt.Errorf("persist: memory: %w", err)
	}
	for _, e := range entries {
		count := map[string]*int{".mem": &m.Memtables, ".sst": &m.Tables, ".vlog": &m.ValueLogs}[filepath.Ext(e.Name())]
		info, err := e.Info()
		if count == nil || err != nil {
			continue // not mapped, or just compacted away
		}
		*count++
		m.MappedBytes += info.Size()
	}
	o := s.db.Opts()
	m.ArenaBytes = int64(m.Memtables) * (o.MemTableSize + s.db.MaxBatchSize() + s.db.MaxBatchCount()*int64(skl.MaxNodeSize)) // as Badger makes them
	m.CacheBytes = o.BlockCacheSize + o.IndexCacheSize
	return m, nil
}
