package persist

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Profile is a set of defaults for one size of machine.
type Profile string

const (
	// ProfileDevice keeps the store under 30 MB of resident memory at rest: small memtables, which are flushed often.
	ProfileDevice Profile = "device"
	// ProfileServer spends memory and disk to write less: a large journal absorbs many overwrites of a hot key.
	ProfileServer Profile = "server"
)

const (
	memtableBytesMin     = 1 << 20   // below this a batch of everyday size takes the detour of redo.go
	memtableBytesMax     = 1 << 30   // the log of a memtable is mapped at twice its size, which must stay below 2 GiB
	journalBytesMin      = 64 << 10  // below this there are more files than commits
	journalBytesMax      = 1 << 30   // offsets have 32 bits, and a batch may go beyond
	valueThresholdMin    = 64        // below this a pointer costs as much as the value
	valueLogFileBytesMin = 8 << 20   // a part of a batch, as one value, must fit in one file
	valueLogFileBytesMax = 1<<30 - 1 // Badger maps twice as much and addresses it with 32 bits
)

// Config says how to open a store. Zero fields take the profile's default.
type Config struct {
	// Dir is the directory of this node's store. Required; it is created with mode 0700.
	Dir string
	// Key encrypts what is on disk: KeyBytes bytes that no one could guess. A store is encrypted from its making on, or never: the
	// key that made it opens it. Default: none, the store is plain.
	Key []byte
	// Logger gets the store's and Badger's messages. Default: discarded.
	Logger *slog.Logger
	// Profile chooses the defaults below. Default: ProfileDevice, since a device suffers most from the wrong one.
	Profile Profile

	// MemtableBytes: size of the in-memory table, and of the log that backs it. Device 4 MiB, server 16 MiB; with 32-bit
	// words 2 MiB and 8 MiB, which is also the most there. Up to three exist at once, each in memory and as a mapped log:
	// about 6 times this is the peak.
	MemtableBytes int64
	// TableBytes: size of a table on disk. A compaction builds ten at once, each in twice its size of the Go heap. Default 2 MiB; with
	// 32-bit words it is not asked for.
	TableBytes int64
	// ValueThresholdBytes: values at least this long go to the value log, so that compaction does not copy
	// them. Default 4 KiB: one disk page; shorter ones would waste most of the page they are read from. With 32-bit words
	// no more.
	ValueThresholdBytes int64
	// ValueLogFileBytes: size at which the value log starts a new file. Device 8 MiB, server 64 MiB, 16 MiB with 32-bit words. It is the
	// unit of reclaiming: small files give disk back sooner, large ones mean fewer of them.
	ValueLogFileBytes int64
	// JournalBytes: size at which a segment of the journal is full, and goes to Badger. Device 1 MiB, server 128 MiB; with 32-bit words 512 KiB and 2 MiB.
	// So it does with 128 Ki keys, each of which takes some 45 bytes of memory. Two are on disk at once, three for a moment. The larger it is,
	// the less often Badger writes a record that is overwritten again and again.
	JournalBytes int64
	// MinFreeBytes: Commit refuses with ErrFull when the file system has less than this left. Device 32 MiB,
	// server 256 MiB. Badger writes through sparse memory maps, where a full disk is a SIGBUS and not an
	// error; this reserve keeps its flushes and compactions away from the edge. It must cover three memtables.
	// Batches that only delete pass down to half of it, so that a full node can make room.
	MinFreeBytes int64
	// ReclaimInterval: time between value-log collections. Default 10 minutes; negative: never.
	ReclaimInterval time.Duration
	// ReclaimRatio: a value-log file is rewritten when this share of it is garbage. Default 0.5: the
	// value log stays below twice the live values, each of which is rewritten once on average.
	ReclaimRatio float64

	// Calm is called, at most once a minute, when no commit has come for some seconds after some came: the moment to give back what the burst has
	// left in memory. It is called in a goroutine of the store's and may take its time, but may not close the store. Default: nothing.
	Calm func()

	// Rand is where nonces come from. Default crypto/rand; tests inject.
	Rand io.Reader
	// Now dates incarnations. Default time.Now; tests inject.
	Now func() time.Time

	free  func(dir string) (int64, error) // replaces the file system's answer in tests
	ticks <-chan time.Time                // replaces the reclaim ticker in tests

	calmAfter, settledAfter, calmEvery time.Duration    // shorter in tests
	looks                              <-chan time.Time // replaces the timer of compaction.loop in tests
}

// Defaults gives what a profile sets.
func Defaults(p Profile) Config { return Config{Profile: p}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Profile == "" {
		c.Profile = ProfileDevice
	}
	memtable, vlog, free, segment := int64(4<<20), int64(8<<20), int64(32<<20), int64(1<<20)
	if c.Profile == ProfileServer {
		memtable, vlog, free, segment = 16<<20, 64<<20, 256<<20, 128<<20
	}
	if wordBits == 32 { // addresses are few, and see narrow.go
		memtable, vlog = min(memtable/2, narrowMemtableBytes), min(vlog, 16<<20)
		segment = min(segment/2, 2<<20)
	}
	setDefault(&c.MemtableBytes, memtable)
	setDefault(&c.TableBytes, tableBytes)
	setDefault(&c.ValueThresholdBytes, 4<<10)
	setDefault(&c.ValueLogFileBytes, vlog)
	setDefault(&c.MinFreeBytes, free)
	setDefault(&c.JournalBytes, segment)
	setDefault(&c.ReclaimInterval, 10*time.Minute)
	setDefault(&c.ReclaimRatio, 0.5)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&c.calmAfter, calmAfter)
	setDefault(&c.settledAfter, settledAfter)
	setDefault(&c.calmEvery, calmEvery)
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.free == nil {
		c.free = freeBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate expects defaults to be in place.
func (c Config) validate() error {
	if c.Dir == "" {
		return fmt.Errorf("%w: Dir is empty", ErrConfig)
	}
	if err := checkKey(c.Key); err != nil {
		return err
	}
	if c.Profile != ProfileDevice && c.Profile != ProfileServer {
		return fmt.Errorf("%w: Profile %q: want %q or %q", ErrConfig, c.Profile, ProfileDevice, ProfileServer)
	}
	if c.ReclaimRatio <= 0 || c.ReclaimRatio >= 1 {
		return fmt.Errorf("%w: ReclaimRatio %v: want more than 0 and less than 1", ErrConfig, c.ReclaimRatio)
	}
	memtableMax, thresholdMax := int64(memtableBytesMax), min(1<<20, c.MemtableBytes/32)
	if wordBits == 32 {
		memtableMax, thresholdMax = narrowMemtableBytes, narrowThresholdBytes
	}
	for _, f := range []struct {
		name          string
		got, min, max int64
	}{
		{"MemtableBytes", c.MemtableBytes, memtableBytesMin, memtableMax},
		{"ValueThresholdBytes", c.ValueThresholdBytes, valueThresholdMin, thresholdMax},
		{"ValueLogFileBytes", c.ValueLogFileBytes, valueLogFileBytesMin, valueLogFileBytesMax},
		{"JournalBytes", c.JournalBytes, journalBytesMin, journalBytesMax},
		{"MinFreeBytes", c.MinFreeBytes, 3 * c.MemtableBytes, 1 << 40},
	} {
		if f.got < f.min || f.got > f.max {
			return fmt.Errorf("%w: %s %d: want %d to %d bytes", ErrConfig, f.name, f.got, f.min, f.max)
		}
	}
	return nil
}
