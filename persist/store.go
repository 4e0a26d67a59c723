package persist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Keys of the store's own records, in spaceMeta.
var (
	idKey      = []byte{spaceMeta, 'i', 'd'}
	counterKey = []byte{spaceMeta, 'n'}
	redoKey    = []byte{spaceMeta, 'r', 'e', 'd', 'o'}
	partPrefix = []byte{spaceMeta, 'p', 'a', 'r', 't'}
)

// Store is an open store. Its methods may be called concurrently; commits go one at a time.
type Store struct {
	dir    string // Config.Dir
	sub    string // Badger's
	config Config
	log    *slog.Logger
	lock   *dirLock
	db     *badger.DB
	badger *badgerLogger
	id     storeID
	format int // of the directory

	life sync.RWMutex // held for reading by every call, for writing by Close
	done bool         // under life

	journal journal

	mu        sync.Mutex // one transaction of Badger's at a time; guards what follows
	commits   uint64     // number of the last one, which is also its Badger version
	flushed   uint64     // up to where all was in tables once
	drainedTo uint64     // number of the last commit whose segment is in Badger
	dirSync   dirSync

	starting sync.Mutex // one new incarnation at a time; before mu

	marking sync.Mutex // guards mark
	mark    *markFile

	counting sync.Mutex // guards counts, failed
	counts   Stats
	failed   error

	reading  sync.RWMutex  // guards what follows, and the indexes of segments
	reader   *badger.Txn   // as of the last transaction that has ended; see value.go
	segments []*segment    // of the journal, oldest first
	sealed   int           // how many of them are to be drained
	stuck    error         // why the last drain could not be made
	closing  bool          // Close has begun
	drained  *sync.Cond    // a drain has ended, or one of these has changed
	drains   chan struct{} // wakes the drain; capacity 1: one wish stands for any number

	touched atomic.Int64 // bytes of files that reads made resident since they were let go last
	paging  sync.Mutex   // one such letting go at a time

	calm    *time.Timer   // fires when no commit has come for a while
	rested  time.Time     // the last time that it did; under counting
	stirred bool          // a commit came since; under counting
	full    atomic.Bool   // Room said so
	kicked  atomic.Int64  // when it was woken last, Unix seconds
	hungry  chan struct{} // wakes the collection; capacity 1: one wish stands for any number
	stop    chan struct{}
	waiting sync.WaitGroup

	compaction *compaction
	loaded     chan struct{} // closed when what only tidies up may go on
	goesOn     sync.Once
}

// Open opens the store in c.Dir, or makes one. Before it touches anything it verifies every byte that it
// will rely on, and that no acknowledged commit is missing; a log's torn tail is cut.
// Errors: ErrConfig, ErrLocked, ErrVersion, ErrDamaged, ErrFull, ErrPlatform, or the file system's.
func Open(c Config) (*Store, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if err := makeDir(c.Dir); err != nil {
		return nil, fmt.Errorf("persist: make %s: %w", c.Dir, err)
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("persist: find %s: %w", c.Dir, err)
	}
	c.Dir = dir // a later change of the working directory moves nothing
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: c.Dir, sub: filepath.Join(c.Dir, badgerDirName), config: c, log: c.Logger, lock: lock,
		badger: &badgerLogger{log: c.Logger}, stop: make(chan struct{}), hungry: make(chan struct{}, 1), drains: make(chan struct{}, 1), loaded: make(chan struct{}),
		calm: time.NewTimer(c.calmAfter), // what opening read is given back too
	}
	s.drained = sync.NewCond(&s.reading)
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.waiting.Go(s.reclaimLoop)
	s.waiting.Go(s.drainLoop)
	if c.Profile == ProfileDevice {
		s.waiting.Go(func() {
			select {
			case <-s.loaded:
				s.compaction.loop(s.stop)
			case <-s.stop:
			}
		})
	}
	return s, nil
}

func (s *Store) open() (err error) {
	if err := checkMaps(s.dir); err != nil {
		return err
	}
	if s.id, s.format, err = openIdentity(s.dir, s.config.Key, s.config.Rand); err != nil {
		return err
	}
	last, err := readMark(s.dir)
	if err != nil {
		return err
	}
	// Opening itself needs room for a new log and for flushing the old ones.
	if err := s.checkSpace(s.config.MinFreeBytes / 4); err != nil {
		return err
	}
	found, err := s.inspect(last)
	if err != nil {
		return err
	}
	if err := s.repair(found.repairs); err != nil {
		return err
	}
	if err := s.readyKeys(found); err != nil {
		return err
	}
	if err := s.readyJournal(); err != nil {
		return err
	}
	if s.db, err = openBadger(s.sub, s.config, s.badger); err != nil {
		return err
	}
	s.compaction = newCompaction(s.db, s.config.looks)
	if err := s.begin(found, last); err != nil {
		return err
	}
	s.compaction.rest() // until goOn
	return nil
}

// goOn has the journal drained and tables compacted. From Open until the first Load has ended, or a commit needs what they make room for, neither is: a
// start is there to read what there is, on the processors that they would take.
func (s *Store) goOn() {
	s.goesOn.Do(func() {
		s.compaction.resume()
		close(s.loaded)
	})
}

func (s *Store) inspect(last *mark) (*inspection, error) {
	if last != nil && last.id != s.id {
		return nil, damaged(s.dir, markFileName, "belongs to store %v, %s says store %v", last.id, versionFileName, s.id)
	}
	if last == nil {
		if err := os.MkdirAll(s.sub, 0o700); err != nil {
			return nil, fmt.Errorf("persist: make %s: %w", s.sub, err)
		}
	}
	found, err := inspect(s.sub, s.config.Key, last)
	if err == nil {
		err = found.checkJournal(journalPath(s.dir), s.id, last)
	}
	if err == nil && last == nil && (found.commit > 1 || len(found.segments) > 0) {
		err = damaged(s.dir, markFileName, "missing, though the store has %d commits", max(found.commit, found.journal))
	}
	return found, err
}

// readyKeys sees to it that a data key, and the copy of it, are there before anything is encrypted, and that we have it.
func (s *Store) readyKeys(found *inspection) error {
	if s.config.Key == nil {
		return nil
	}
	if len(found.keys.data) == 0 {
		if err := drawDataKey(s.sub, s.config.Key); err != nil {
			return err
		}
		registry, err := readRegistry(s.sub)
		if found.keys, _, err = openRegistry(s.sub, registry, s.config.Key, err); err != nil {
			return err
		}
	}
	s.journal.cipher.key = found.keys.only()
	var err error
	if s.journal.cipher.block, err = found.keys.cipherOf(s.journal.cipher.key); err != nil {
		return damaged(s.sub, registryFileName, "%v", err)
	}
	return keepKeysCopy(s.dir, s.sub)
}

func (s *Store) repair(repairs []repair) error {
	for _, r := range repairs {
		s.log.Warn("persist: repair", "file", r.file, "why", r.why)
		if err := r.do(filepath.Join(s.sub, r.file)); err != nil {
			return fmt.Errorf("persist: repair %s: %w", r.file, err)
		}
	}
	return nil
}

// begin compares what Badger came up with to what the inspection found, and finishes a batch that was under way.
func (s *Store) begin(found *inspection, last *mark) error {
	if got := s.db.MaxVersion(); got != found.commit {
		return damaged(s.sub, "", "Badger reads commits up to %d, the files hold %d", got, found.commit)
	}
	s.commits = found.commit
	m := mark{id: s.id, commit: s.commits}
	if last != nil {
		m.seq, m.journal, m.drained = last.seq, last.journal, last.drained
	}
	if err := s.checkOwnRecords(); err != nil {
		return err
	}
	if _, err := observeManifest(s.sub, &m); err != nil {
		return err
	}
	if last == nil && s.commits == 0 {
		// The first commit is made before the first mark: a mark means that the id is on disk.
		if err := s.write([]pair{{idKey, seal(nil, idKey, nil, s.id[:])}, drainedPair(0)}); err != nil {
			return err
		}
		m.commit = s.commits
	}
	var err error
	if s.mark, err = openMarkFile(s.dir, m); err != nil {
		return err
	}
	if err := s.finishRedo(); err != nil {
		return err
	}
	if err := s.beginJournal(found); err != nil {
		return err
	}
	s.renewReader()
	return s.putMark(false, true)
}

// checkOwnRecords reads the id and the counter of a store that has commits.
func (s *Store) checkOwnRecords() error {
	if s.commits == 0 {
		return nil
	}
	id, _, err := s.getOwn(idKey)
	if err == nil && !bytes.Equal(id, s.id[:]) {
		err = &DamageError{Path: s.sub, Key: idKey, Detail: fmt.Sprintf("belongs to store %x, the directory is store %v", id, s.id)}
	}
	if err != nil {
		return err
	}
	counter, version, err := s.getOwn(counterKey)
	if err != nil {
		return err
	}
	if n := binary.BigEndian.Uint64(append(counter, make([]byte, 8)...)); n != s.commits || version != s.commits {
		return &DamageError{Path: s.sub, Key: counterKey, Detail: fmt.Sprintf("counts %d commits, as number %d, of %d", n, version, s.commits)}
	}
	return nil
}

// getOwn reads a record of the store itself; its absence is damage.
func (s *Store) getOwn(key []byte) (value []byte, version uint64, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &DamageError{Path: s.sub, Key: key, Detail: fmt.Sprintf("Badger gave up: %v", r)}
		}
	}()
	err = s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		version = item.Version()
		return item.Value(func(sealed []byte) error {
			_, v, err := unseal(key, sealed)
			value = bytes.Clone(v)
			return err
		})
	})
	if err != nil && !errors.Is(err, ErrVersion) {
		err = &DamageError{Path: s.sub, Key: key, Detail: "unreadable", Err: err}
	}
	return value, version, err
}

// noteMark changes the mark.
func (s *Store) noteMark(change func(m *mark), sync bool) error {
	s.marking.Lock()
	defer s.marking.Unlock()
	m := s.mark.last
	m.clean = false
	change(&m)
	if err := s.mark.write(m, sync); err != nil {
		return fmt.Errorf("persist: write mark: %w", err)
	}
	return nil
}

// putMark notes how far Badger is. The caller holds mu. A failure only weakens what the next open can notice.
func (s *Store) putMark(clean, sync bool) error {
	s.marking.Lock()
	defer s.marking.Unlock()
	m := s.mark.last
	m.commit, m.drained, m.clean = s.commits, s.drainedTo, clean
	grew, err := observeManifest(s.sub, &m)
	if err != nil {
		return err
	}
	if err := s.mark.write(m, sync || grew); err != nil {
		return fmt.Errorf("persist: write mark: %w", err)
	}
	return nil
}

// enter admits a call unless the store is closed; leave ends it.
func (s *Store) enter() error {
	s.life.RLock()
	if s.done {
		s.life.RUnlock()
		return ErrClosed
	}
	return nil
}

func (s *Store) leave() { s.life.RUnlock() }

// Close waits for calls under way, flushes and lets go of the directory. Closing again does nothing.
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.done {
		return nil
	}
	s.done = true
	s.reading.Lock()
	s.closing = true
	s.reading.Unlock()
	s.wakeWaiters()
	close(s.stop)
	s.calm.Stop()
	s.waiting.Wait()
	return s.release()
}

// release undoes whatever open did, in reverse.
func (s *Store) release() (err error) {
	if s.reader != nil {
		s.reader.Discard()
	}
	for _, g := range s.segments {
		g.release()
	}
	abandoned := s.db != nil && s.abandon()
	if s.db != nil && !abandoned {
		err = s.closeBadger()
	}
	if s.mark != nil {
		if err == nil && s.failure() == nil && !abandoned {
			err = s.putMark(true, true)
		}
		err = errors.Join(err, s.mark.f.Close())
	}
	return errors.Join(err, s.lock.release())
}

// abandon reports that there is no room to close in. Badger closes by writing a table through a memory map, which without a block behind it kills
// the process. Left as it is the store is like that of a killed process, and nothing is lost: what was acknowledged is in the logs. Badger's goroutines,
// and its own lock on the directory, stay until the process ends.
func (s *Store) abandon() bool {
	err := s.checkSpace(s.config.MinFreeBytes / 2)
	if errors.Is(err, ErrFull) {
		s.log.Warn("persist: closed without tidying up: the disk is full; the next start reads the logs", "dir", s.dir, "err", err)
		return true
	}
	return false
}

func (s *Store) closeBadger() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("persist: close %s: Badger gave up: %v", s.sub, r)
		}
	}()
	if err := s.compaction.around(s.db.Close); err != nil {
		return fmt.Errorf("persist: close %s: %w", s.sub, err)
	}
	return nil
}

// dirSync makes new log files findable after a power cut: Badger fsyncs their content but not their directory.
type dirSync struct {
	seen time.Time // modification time of the directory at the last fsync, if that was recent no longer
}

// mtimeGrain bounds how coarse a file system's clock is; two changes within it look like one.
const mtimeGrain = 50 * time.Millisecond

func (d *dirSync) sync(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.ModTime().Equal(d.seen) {
		return nil
	}
	if err := syncPath(dir); err != nil {
		return err
	}
	if time.Since(info.ModTime()) > mtimeGrain {
		d.seen = info.ModTime()
	}
	return nil
}
