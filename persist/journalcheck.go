package persist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// foundSegment is a segment of a journal as an inspection found it.
type foundSegment struct {
	segmentScan
	path  string
	index map[recordID]place
}

// checkJournal demands that commits follow each other without a gap from what is drained up to the mark at least.
func (in *inspection) checkJournal(dir string, id storeID, m *mark) error {
	firsts, err := listSegments(dir)
	if err != nil {
		return err
	}
	if m != nil {
		in.journal = m.drained
	}
	for i, first := range firsts {
		g := foundSegment{path: filepath.Join(dir, segmentName(first)), index: map[recordID]place{}}
		g.segmentScan, err = scanSegment(g.path, id, first, in.keys, func(_ uint64, p pair, at place) error {
			g.index[idOf(p.key)] = at
			return nil
		})
		if err != nil {
			return err
		}
		if err := in.takeSegment(g, i == len(firsts)-1, m); err != nil {
			return err
		}
	}
	if m != nil && in.journal < m.journal {
		return damaged(dir, "", "holds commits up to %d, but %d were acknowledged: a file was removed, cut or emptied", in.journal, m.journal)
	}
	return nil
}

func (in *inspection) takeSegment(g foundSegment, newest bool, m *mark) error {
	dir := filepath.Dir(g.path)
	if g.bad != nil && !errors.Is(g.bad, errSegmentHead) {
		return damaged(dir, g.name, "%v", g.bad)
	}
	if m != nil && g.bad == nil && g.emptyTail && g.last <= m.drained && g.last >= g.first {
		in.removeSegment(g, "all of it is in tables")
		return nil
	}
	if (m != nil || len(in.segments) > 0) && g.first > in.journal+1 {
		return damaged(dir, g.name, "begins at commit %d, but what comes before ends at %d: a file is missing", g.first, in.journal)
	}
	if !g.emptyTail {
		if err := in.checkSegmentTail(g, newest, m); err != nil {
			return err
		}
	}
	if g.last < g.first { // its process died before the first commit was whole
		in.removeSegment(g, "no commit in it")
		return nil
	}
	in.journal = max(in.journal, g.last)
	in.segments = append(in.segments, g)
	return nil
}

func (in *inspection) removeSegment(g foundSegment, why string) {
	in.repairs = append(in.repairs, repair{why, journalDirName + "/" + g.name, func(string) error { return os.Remove(g.path) }})
}

// checkSegmentTail tells rot from the torn tail that a crash leaves.
func (in *inspection) checkSegmentTail(g foundSegment, newest bool, m *mark) error {
	dir := filepath.Dir(g.path)
	if !newest {
		return damaged(dir, g.name, "unreadable from byte %d on, though a newer file follows: commits from %d on were acknowledged and are lost", g.wholeTo, g.last+1)
	}
	if m != nil && g.last < m.journal {
		return damaged(dir, g.name, "unreadable from byte %d on: commits %d to %d were acknowledged and are lost", g.wholeTo, g.last+1, m.journal)
	}
	known := g.last + 1 // a frame of this one may be the torn one itself, of which a part is whole
	if g.bad != nil {
		known = g.last // nothing was written before the head was durable
	}
	later, err := laterCommitFrom(g.path, g.wholeTo, known)
	if err != nil {
		return err
	}
	if later > 0 {
		return damaged(dir, g.name, "unreadable from byte %d on, though commit %d follows: commits from %d on were acknowledged and are lost", g.wholeTo, later, g.last+1)
	}
	if g.last < g.first {
		return nil // it is removed
	}
	in.repairs = append(in.repairs, repair{"torn tail, never acknowledged", journalDirName + "/" + g.name, func(string) error {
		if err := os.Truncate(g.path, g.wholeTo); err != nil {
			return err
		}
		return syncPath(g.path)
	}})
	return nil
}

// undrained is how many commits are in the journal alone.
func (in *inspection) undrained() uint64 {
	if len(in.segments) == 0 {
		return 0
	}
	return in.journal - in.segments[0].first + 1
}

// readyJournal makes the folder.
func (s *Store) readyJournal() error {
	s.journal.dir, s.journal.id = journalPath(s.dir), s.id
	if err := makeDir(s.journal.dir); err != nil {
		return fmt.Errorf("persist: make %s: %w", s.journal.dir, err)
	}
	return nil
}

// beginJournal takes up what the inspection found, now that Badger tells how far it was drained. The caller is alone with the store.
func (s *Store) beginJournal(found *inspection) error {
	drained, err := s.readDrained()
	if err != nil {
		return err
	}
	s.journal.commits = max(drained, found.journal)
	for i, f := range found.segments {
		if f.last <= drained {
			if err := os.Remove(f.path); err != nil {
				return fmt.Errorf("persist: drained journal: %w", err)
			}
			continue
		}
		if len(s.segments) == 0 && f.first > drained+1 {
			return damaged(s.journal.dir, f.name, "begins at commit %d, but Badger has those up to %d: a file is missing", f.first, drained)
		}
		if err := s.takeUp(f, i == len(found.segments)-1); err != nil {
			return err
		}
	}
	// What is sealed waits for the first rest, or for the next segment: a start has enough to do.
	s.drainedTo = drained
	return s.noteMark(func(m *mark) { m.journal = s.journal.commits }, true)
}

// takeUp opens a segment. The newest is gone on with, unless something was cut off: what is encrypted there must not be so twice.
func (s *Store) takeUp(f foundSegment, newest bool) error {
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err == nil {
		err = file.Sync() // what a killed process left to the kernel
	}
	if err != nil {
		return fmt.Errorf("persist: open journal: %w", err)
	}
	g := &segment{
		first: f.first, last: f.last, path: f.path, file: file, cipher: f.cipher, size: f.wholeTo, zeroed: f.size, index: f.index,
	}
	g.users.Store(1)
	s.segments = append(s.segments, g)
	if newest && f.emptyTail && g.size < s.config.JournalBytes {
		s.journal.active = g
	} else {
		s.sealed++
	}
	return nil
}

// readDrained tells up to where commits are in Badger. A store from before there was a journal has all there.
func (s *Store) readDrained() (commit uint64, err error) {
	value, _, err := s.getOwn(drainedKey)
	if errors.Is(err, badger.ErrKeyNotFound) && !hasJournal(s.format) {
		if err := s.write([]pair{drainedPair(s.commits)}); err != nil {
			return 0, err
		}
		value, _, err = s.getOwn(drainedKey)
	}
	if err == nil && len(value) != 8 {
		err = &DamageError{Path: s.sub, Key: drainedKey, Detail: "malformed"}
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), s.upgrade()
}
