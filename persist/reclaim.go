package persist

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// reclaimLoop gives value-log space back on a schedule until the store closes.
func (s *Store) reclaimLoop() {
	ticks := s.config.ticks
	if ticks == nil {
		if s.config.ReclaimInterval < 0 {
			return
		}
		ticker := time.NewTicker(s.config.ReclaimInterval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		select {
		case <-s.stop:
			return
		case <-ticks:
			s.collect(false)
		case <-s.hungry:
			// Whoever fills the disk is done by then: to empty a memtable needs room for another, and Badger maps files, so that where
			// the last block goes meanwhile the process dies.
			select {
			case <-s.stop:
				return
			case <-time.After(hungerPause):
			}
			s.collect(true)
		case <-s.calm.C:
			s.rest()
		}
	}
}

const (
	// calmAfter is how long after the last commit a store is calm: long enough for a memtable to become a table, and that to be compacted.
	calmAfter = 3 * time.Second
	// settledAfter is how long it takes from then until Badger has let go of the buffers of its tables, one every two seconds.
	settledAfter = 17 * time.Second
	// calmEvery is the least time between two rests: giving memory back and fetching it again costs more than keeping it.
	calmEvery = time.Minute
)

// stir notes a commit, after which the store will rest twice, if no other comes.
func (s *Store) stir() {
	s.counting.Lock()
	defer s.counting.Unlock()
	s.stirred = true
	s.calm.Reset(max(s.config.calmAfter, s.config.calmEvery-time.Since(s.rested)))
}

// rest gives back what a burst of commits has left: pages of tables and logs that only passed through, and what Config.Calm knows of.
func (s *Store) rest() {
	if _, err := s.drainAll(); err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrClosed) {
		s.log.Warn("persist: drain the journal", "dir", s.dir, "err", err)
	}
	pageOut(s.sub)
	if s.config.Calm != nil {
		s.config.Calm()
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	if s.stirred { // the rest of a store that was only opened gives little back, and does not put off that of the first burst
		s.stirred, s.rested = false, time.Now()
		s.calm.Reset(s.config.settledAfter)
	}
}

// hungerMin is the time between two collections that a full disk asks for: removes make room by them alone.
const hungerMin = 10 * time.Second

// hungerPause is how long it waits.
const hungerPause = time.Second

// kick asks for a collection now: it may make room.
func (s *Store) kick() {
	now, last := time.Now().Unix(), s.kicked.Load()
	if now-last < int64(hungerMin.Seconds()) || s.config.ReclaimInterval < 0 || !s.kicked.CompareAndSwap(last, now) {
		return
	}
	select {
	case s.hungry <- struct{}{}:
	default:
	}
}

// collect gives back what it can. full: all that it can, at once.
func (s *Store) collect(full bool) {
	if err := s.tidy(full); err != nil && !errors.Is(err, ErrClosed) {
		s.log.Warn("persist: flush", "dir", s.dir, "err", err)
	}
	if _, err := s.reclaim(); err != nil {
		s.log.Warn("persist: reclaim", "dir", s.dir, "err", err)
	}
	s.trim()
}

// Reclaim rewrites value-log files that are mostly garbage, at once. It returns how many it freed. Garbage
// counts from when a compaction finds it, so what was deleted a moment ago may not be freed yet.
func (s *Store) Reclaim() (files int, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	return s.reclaim()
}

// reclaim needs no life lock: Close waits for the loop before it closes Badger.
func (s *Store) reclaim() (files int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged(s.sub, "", "Badger gave up: %v", r)
		}
		s.noteReclaim(files)
	}()
	s.compaction.stir()
	for {
		select {
		case <-s.stop:
			return files, nil
		default:
		}
		err := s.db.RunValueLogGC(s.config.ReclaimRatio)
		if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
			return files, nil
		}
		if err != nil {
			return files, fmt.Errorf("persist: reclaim %s: %w", s.sub, err)
		}
		files++
	}
}

// trim keeps what compactions have touched from counting as resident on a device.
func (s *Store) trim() {
	if s.config.Profile == ProfileDevice {
		pageOut(s.sub)
	}
}

// noteReclaim also fsyncs the mark, so that even an idle store's is fresh.
func (s *Store) noteReclaim(files int) {
	s.counting.Lock()
	s.counts.Reclaims++
	s.counts.Reclaimed += uint64(files)
	s.counting.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure() != nil {
		return
	}
	if err := s.putMark(false, true); err != nil {
		s.log.Warn("persist: the mark lags behind", "commit", s.commits, "err", err)
	}
}
