package persist

import (
	"fmt"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	badgerLevels     = 7 // of the LSM tree, Badger's default
	memtablesWaiting = 2 // queued for flushing; when full, Commit waits for the flush
	levelZeroTables  = 2 // start a compaction: overwrites of hot keys are dropped soon
	levelZeroStall   = 6 // flushing waits for compaction
	// Badger compacts level 0 into itself from four tables on.
	smallLevelZeroStall = 3
	compactors          = 2 // the least that Badger accepts
	tableBytes          = 2 << 20
	baseLevelBytes      = 10 << 20
	streamGoroutines    = 1 // of Badger's own streams, which nothing here uses
	vlogEntriesMax      = 1 << 20
)

// Badger lets go of its own lock by closing it alone, see dirLock.release. We hold the directory when we get
// here, so that a ghost of a lock is gone in a moment, and only a tool that opened Badger directly keeps it.
const (
	lockRetry    = 5 * time.Millisecond
	lockPatience = time.Second
)

// badgerOptions keeps every choice of Badger's in one place.
func badgerOptions(dir string, c Config, log badger.Logger) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = log
	o.SyncWrites = true       // a commit is fsynced before it returns
	o.DetectConflicts = false // one writer: the fingerprints would only cost memory
	o.NumVersionsToKeep = 1
	o.NumGoroutines = streamGoroutines
	o.MetricsEnabled = false // expvar names are global to the process
	// Tables are read through their memory maps: without compression there is no block to keep, and so no cache. Records
	// are small and binary; the checksummed envelope would hide what little a compressor could find.
	o.Compression = options.None
	o.BlockCacheSize, o.IndexCacheSize = 0, 0
	// inspect verifies every block at open. Badger's own verification, while it compacts, would end the
	// iteration over a bad block as if the table ended there, and drop the rest; unverified, bad bytes
	// are carried along and the envelope's checksum finds them.
	o.ChecksumVerificationMode = options.NoVerification
	o.VerifyValueChecksum = true
	o.MemTableSize = c.MemtableBytes
	o.NumMemtables = memtablesWaiting
	o.NumLevelZeroTables, o.NumLevelZeroTablesStall = levelZeroTables, levelZeroStall
	o.NumCompactors = compactors
	o.BaseTableSize, o.BaseLevelSize = c.TableBytes, baseLevelBytes
	// A compaction builds ten tables at once, each in twice its size of the Go heap: tables that doubled with every level took 124 MB there.
	o.TableSizeMultiplier = 1
	if c.TableBytes < tableBytes { // level 0 compacted into itself makes one table, in a buffer of 256 MiB
		o.NumLevelZeroTablesStall = smallLevelZeroStall
	}
	o.MaxLevels = badgerLevels
	o.ValueThreshold = c.ValueThresholdBytes
	o.ValueLogFileSize = c.ValueLogFileBytes
	o.ValueLogMaxEntries = vlogEntriesMax
	// A device leaves a compact directory behind, and its value log learns what is garbage even if no life of it is long.
	// On a server that could be hundreds of megabytes of work, and closing is to be quick.
	o.CompactL0OnClose = c.Profile == ProfileDevice
	if wordBits == 32 {
		fitNarrow(&o, c.Key != nil)
	}
	if c.Key != nil {
		o.EncryptionKey = c.Key
		o.EncryptionKeyRotationDuration = dataKeyLife
		// What is decrypted cannot be read through the memory map: Badger keeps indexes and blocks that it decrypted, and wants
		// to be told how many.
		o.IndexCacheSize, o.BlockCacheSize = c.MemtableBytes/4, c.MemtableBytes/4
	}
	return o
}

// openBadger turns what Badger panics about into damage. inspect leaves it little to panic about.
func openBadger(dir string, c Config, log badger.Logger) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, damaged(dir, "", "Badger gave up: %v", r)
		}
	}()
	for start := time.Now(); ; time.Sleep(lockRetry) {
		db, err = badger.Open(badgerOptions(dir, c, log))
		if err == nil {
			return db, nil
		}
		if !strings.Contains(err.Error(), "Cannot acquire directory lock") {
			return nil, fmt.Errorf("persist: open %s: %w", dir, err)
		}
		if time.Since(start) > lockPatience {
			return nil, fmt.Errorf("%w: %s is open in another Badger process", ErrLocked, dir)
		}
	}
}
