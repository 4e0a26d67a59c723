package persist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgemem/edgemem/crdt"
)

// A commit goes to the journal alone. Badger gets what a segment holds when that is full, in the background and once for each key, so that what is
// overwritten often costs Badger little. Until then the journal lies over Badger: who reads looks there first.
//
//	commit ──▶ active segment ──full──▶ sealed segments ──drain──▶ Badger, and the file is removed
//	              │                        │                          │
//	read ─────────┴────── newest first ────┴──────────────────────────┘
//
// A drain is no transaction: its segment stays until all of it is in Badger, and is drained again from its beginning where it was cut short.
type journal struct {
	dir string
	id  storeID

	mu      sync.Mutex // one append at a time; before Store.reading where both are held
	commits uint64     // number of the last one
	cipher  bodyCipher // of the next segment, but for its base
	out     frames
	active  *segment // nil: the next commit makes one
}

const (
	// sealedMax is how many segments may wait for Badger. Then commits wait too.
	sealedMax = 1
	// segmentKeysMax bounds what the index of a segment takes, some 45 bytes a key. A batch may go beyond.
	segmentKeysMax = 128 << 10
	// A segment is lengthened, by zeros, at least zeroSteps times until it is full, and by zeroBytes at most: who commits waits for it.
	zeroSteps = 32
	zeroBytes = 512 << 10
	// drainBytes is about what Badger gets at a time.
	drainBytes = 1 << 20
	// drainAgain is when a drain that found no room is tried again.
	drainAgain = time.Second
)

// append writes one batch. The places of its records are those of s.journal.out. The caller holds the journal's mu.
func (s *Store) append(recs []crdt.Record) error {
	j := &s.journal
	if err := s.makeActive(); err != nil {
		return err
	}
	most := framesBytes(recs)
	if j.active.size+most > segmentBytesMax {
		return fmt.Errorf("persist: a batch of %d bytes: at most %d", most, segmentBytesMax-s.config.JournalBytes)
	}
	if err := s.lengthen(j.active, j.active.size+most); err != nil {
		return err
	}
	end, err := j.out.write(j.active, recs, j.commits+1)
	if err == nil {
		err = fdatasync(j.active.file)
	}
	if err != nil {
		return s.fail(err)
	}
	j.commits++
	j.active.last, j.active.size = j.commits, end
	return nil
}

// lengthen writes zeros ahead. A disk that is full shows here, before anything is written that counts.
func (s *Store) lengthen(g *segment, end int64) error {
	step := min(s.config.JournalBytes/zeroSteps, zeroBytes)
	if end <= g.zeroed {
		return nil
	}
	target := (end + step - 1) / step * step
	err := writeZeros(g.file, g.zeroed, target)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		free, _ := s.config.free(s.dir)
		return &FullError{s.dir, free, max(s.config.MinFreeBytes, free+target-g.zeroed)}
	}
	if err != nil {
		return s.fail(err)
	}
	g.zeroed = target
	return nil
}

var zeros [64 << 10]byte

func writeZeros(f *os.File, from, to int64) error {
	for from < to {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

// makeActive sees to it that there is a segment with room, and waits where too many are sealed.
func (s *Store) makeActive() error {
	j := &s.journal
	if j.active != nil && j.active.size < s.config.JournalBytes && len(j.active.index) < segmentKeysMax {
		return nil
	}
	s.seal()
	if err := s.awaitDrains(func() bool { return len(s.segments) <= sealedMax }); err != nil {
		return err
	}
	c := j.cipher
	if _, err := io.ReadFull(s.config.Rand, c.base[:]); err != nil {
		return fmt.Errorf("persist: new journal: %w", err)
	}
	g, err := createSegment(j.dir, j.id, j.commits+1, c)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &FullError{s.dir, 0, s.config.MinFreeBytes}
	}
	if err != nil {
		return s.fail(err)
	}
	j.active = g
	s.reading.Lock()
	defer s.reading.Unlock()
	s.segments = append(s.segments, g)
	return nil
}

// seal ends the active segment, if there is one, and has all that are sealed drained. The caller holds the journal's mu.
func (s *Store) seal() {
	s.reading.Lock()
	s.journal.active = nil
	s.sealed = len(s.segments)
	s.reading.Unlock()
	select {
	case s.drains <- struct{}{}:
	default:
	}
}

// show lets readers see what was just appended.
func (s *Store) show() {
	g, out := s.journal.active, &s.journal.out
	s.reading.Lock()
	defer s.reading.Unlock()
	for i, id := range out.ids {
		g.index[id] = out.places[i]
	}
}

// awaitDrains waits until done, which is called with reading held, or until there is no use in waiting.
func (s *Store) awaitDrains(done func() bool) error {
	s.goOn()
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		switch failed := s.failure(); {
		case done():
			return nil
		case failed != nil:
			return failed
		case s.stuck != nil:
			return s.stuck
		case s.closing:
			return ErrClosed
		}
		s.drained.Wait()
	}
}

// drainAll has all that was committed until now in Badger when it returns nil.
func (s *Store) drainAll() (until uint64, err error) {
	s.journal.mu.Lock()
	s.seal()
	until = s.journal.commits
	s.journal.mu.Unlock()
	return until, s.awaitDrains(func() bool { return len(s.segments) == 0 || s.segments[0].first > until })
}

// isDrained tells whether all is in Badger.
func (s *Store) isDrained() bool {
	s.reading.RLock()
	defer s.reading.RUnlock()
	return len(s.segments) == 0
}

// drainLoop runs until the store closes.
func (s *Store) drainLoop() {
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	select {
	case <-s.stop:
		return
	case <-s.loaded:
	}
	for {
		select {
		case <-s.stop:
			return
		case <-s.drains:
		case <-again.C:
		}
		if err := s.drainSealed(); errors.Is(err, ErrFull) {
			again.Reset(drainAgain)
		}
	}
}

// drainSealed drains what is sealed, oldest first.
func (s *Store) drainSealed() error {
	for {
		g := s.oldestSealed()
		if g == nil {
			return nil
		}
		err := s.drain(g)
		if err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrFailed) && !errors.Is(err, ErrClosed) {
			err = s.fail(err)
		}
		s.reading.Lock()
		s.stuck = err
		s.reading.Unlock()
		s.wakeWaiters()
		if err != nil {
			return err
		}
	}
}

// wakeWaiters has those in awaitDrains look again.
func (s *Store) wakeWaiters() {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.drained.Broadcast()
}

func (s *Store) oldestSealed() *segment {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.sealed == 0 || s.closing {
		return nil
	}
	return s.segments[0]
}

// drain copies to Badger what is newest, and forgets the segment.
func (s *Store) drain(g *segment) error {
	d := &draining{store: s, segment: g}
	err := eachBatch(g.file, segmentHead, g.size, g.first, &g.cipher, func(commit uint64, _ int64, bodies []frameBody) error {
		d.last = commit
		for _, b := range bodies {
			if err := b.each(commit, d.take); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && d.last != g.last {
		err = &DamageError{Path: g.path, Detail: fmt.Sprintf("unreadable behind commit %d of %d", d.last, g.last)}
	}
	if err != nil {
		return err
	}
	return s.forget(g, append(d.batch, drainedPair(g.last)))
}

// draining is a drain under way.
type draining struct {
	store   *Store
	segment *segment
	last    uint64
	batch   []pair
	buf     []byte // of the batch
}

func (d *draining) take(_ uint64, p pair, at place) error {
	if !d.store.isNewest(d.segment, p.key, at) {
		return nil
	}
	d.batch = append(d.batch, pair{d.keep(p.key), d.keep(p.value)})
	if len(d.buf) < drainBytes && len(d.batch) < int(d.store.db.MaxBatchCount()/2) {
		return nil
	}
	if err := d.store.writeAll(d.batch); err != nil {
		return err
	}
	d.batch, d.buf = d.batch[:0], d.buf[:0]
	return nil
}

// keep copies what is overwritten soon. Badger keeps nothing of what it was given once it is committed.
func (d *draining) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	start := len(d.buf)
	d.buf = append(d.buf, b...)
	return d.buf[start:len(d.buf):len(d.buf)]
}

// isNewest tells whether no later version of the record is in the journal.
func (s *Store) isNewest(g *segment, stored []byte, at place) bool {
	id := idOf(stored)
	s.reading.RLock()
	defer s.reading.RUnlock()
	if g.index[id] != at {
		return false
	}
	for _, later := range s.segments[1:] {
		if _, ok := later.index[id]; ok {
			return false
		}
	}
	return true
}

// writeAll writes pairs in as many transactions as they take. It goes further down than any commit: what removes make room for is given back only when
// they are drained.
func (s *Store) writeAll(pairs []pair) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeChunks(pairs, s.config.MinFreeBytes/4)
}

// writeChunks is called with mu held. It goes on while so many bytes are free.
func (s *Store) writeChunks(pairs []pair, need int64) error {
	for len(pairs) > 0 {
		select {
		case <-s.stop:
			return ErrClosed
		default:
		}
		if failed := s.failure(); failed != nil {
			return failed
		}
		if err := s.checkSpace(need); err != nil {
			return err
		}
		n := chunkLen(pairs, s.db.MaxBatchSize(), s.db.MaxBatchCount(), s.config.ValueThresholdBytes)
		if n == 0 {
			return fmt.Errorf("%w: one record exceeds a transaction", errRedo)
		}
		if err := s.write(pairs[:n]); err != nil {
			return err
		}
		if s.config.Profile == ProfileDevice {
			s.touch(touchedPerWrite * bytesOf(pairs[:n]))
		}
		pairs = pairs[n:]
	}
	return s.dirSync.sync(s.sub)
}

func bytesOf(pairs []pair) (n int64) {
	for _, p := range pairs {
		n += int64(len(p.value))
	}
	return n
}

// forget writes the rest of the oldest segment, and lets go of it.
func (s *Store) forget(g *segment, rest []pair) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writeChunks(rest, s.config.MinFreeBytes/4); err != nil {
		return err
	}
	next := s.db.NewTransaction(false)
	s.reading.Lock()
	last := s.reader
	s.reader = next
	s.segments = slices.Delete(s.segments, 0, 1)
	s.sealed--
	s.reading.Unlock()
	last.Discard()
	// The mark first: else a segment that is gone would be missed.
	s.drainedTo = g.last
	if err := s.putMark(false, true); err != nil {
		s.log.Warn("persist: the mark lags behind", "commit", g.last, "err", err)
	} else if err := os.Remove(g.path); err != nil {
		s.log.Warn("persist: a segment of the journal is left behind", "err", err)
	}
	g.release()
	return nil
}

// drainedKey holds the number of the last commit that is in Badger, or is overwritten by one in the journal.
var drainedKey = []byte{spaceMeta, 'j'}

func drainedPair(commit uint64) pair {
	return pair{drainedKey, seal(nil, drainedKey, nil, binary.BigEndian.AppendUint64(nil, commit))}
}

// journaled gives the pair in the journal under a stored key. ok: there is one, which may be a removal.
func (s *Store) journaled(stored []byte) (p pair, ok bool, err error) {
	g, at := s.find(stored)
	if g == nil {
		return p, false, nil
	}
	defer g.release()
	p, err = g.readKey(at, stored)
	return p, true, err
}

// readKey gives the pair at a place, which is that of a key.
func (g *segment) readKey(at place, stored []byte) (pair, error) {
	p, err := g.read(at)
	if err == nil && string(p.key) != string(stored) {
		err = errors.New("another key is there")
	}
	if err != nil {
		return p, &DamageError{Path: g.path, Key: slices.Clone(stored[1:]), Detail: fmt.Sprintf("unreadable at byte %d", at.frame), Err: err}
	}
	return p, nil
}

// find gives the segment that holds the newest version of a record; the caller releases it.
func (s *Store) find(stored []byte) (*segment, place) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if len(s.segments) == 0 {
		return nil, place{}
	}
	id := idOf(stored)
	for _, g := range slices.Backward(s.segments) {
		if at, ok := g.index[id]; ok {
			g.users.Add(1)
			return g, at
		}
	}
	return nil, place{}
}

func journalPath(dir string) string { return filepath.Join(dir, journalDirName) }
