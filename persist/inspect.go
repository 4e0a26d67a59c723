package persist

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

const badgerDirName = "badger"

// Files of Badger's that hold nothing a plain store could miss: without encryption the registry has no keys, and discard
// statistics only say which value-log file is worth rewriting. For encrypted ones see keys.go.
const (
	registryFileName = "KEYREGISTRY"
	discardFileName  = "DISCARD"
	registryText     = "Hello Badger"
	registryIVBytes  = 16
	discardBytesMin  = 1 << 20
	discardSlotBytes = 16
)

// inspection is what a look at Badger's directory found, before Badger changed anything.
type inspection struct {
	empty    bool   // nothing was ever stored
	commit   uint64 // the highest of Badger's that is durable
	repairs  []repair
	scans    []logScan
	journal  uint64 // the highest commit of the journal, or that is drained
	segments []foundSegment
	keys     keyring
}

// repair is a change that loses nothing acknowledged. Repairs are made only when all was found sound.
type repair struct {
	why  string
	file string
	do   func(path string) error
}

// listing is Badger's directory by kind, ids ascending.
type listing struct {
	tables, wals, vlogs []uint64
	names               map[string]int64 // name to size in bytes
}

// inspect checks every byte that Badger will rely on, and holds the result to the mark (nil: none yet).
// It only reads: where it reports damage, nothing was touched.
func inspect(dir string, key []byte, m *mark) (*inspection, error) {
	files, err := list(dir)
	if errors.Is(err, fs.ErrNotExist) && m != nil {
		return nil, damaged(dir, "", "missing, though %d commits were acknowledged", m.commit)
	}
	if err != nil {
		return nil, err
	}
	if len(files.tables)+len(files.wals)+len(files.vlogs) == 0 && m == nil {
		keys, repairs, err := unlock(dir, key, files)
		return &inspection{empty: true, keys: keys, repairs: repairs}, err
	}
	known, err := checkManifest(dir, m)
	if err != nil {
		return nil, err
	}
	in := &inspection{}
	if in.keys, in.repairs, err = unlock(dir, key, files); err != nil {
		return nil, err
	}
	tables := refsOf(known)
	if in.commit, err = checkTables(dir, tables, in.keys); err != nil {
		return nil, err
	}
	reach, err := in.checkWALs(dir, files, m)
	if err != nil {
		return nil, err
	}
	if err := in.checkValueLogs(dir, files, tables, reach); err != nil {
		return nil, err
	}
	return in, in.checkHints(dir, files)
}

// refsOf lists the tables that MANIFEST names, by number.
func refsOf(known map[uint64]badger.TableManifest) []tableRef {
	refs := make([]tableRef, 0, len(known))
	for id, t := range known {
		refs = append(refs, tableRef{id, t.KeyID})
	}
	slices.SortFunc(refs, func(a, b tableRef) int { return cmp.Compare(a.id, b.id) })
	return refs
}

func list(dir string) (*listing, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("persist: list store: %w", err)
	}
	l := &listing{names: map[string]int64{}}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("persist: list store: %w", err)
		}
		l.names[e.Name()] = info.Size()
		ids := map[string]*[]uint64{".sst": &l.tables, ".mem": &l.wals, ".vlog": &l.vlogs}[filepath.Ext(e.Name())]
		if ids == nil {
			continue
		}
		id, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())), 10, 32)
		if err != nil || !info.Mode().IsRegular() {
			return nil, damaged(dir, e.Name(), "not a file that a store has; move it away")
		}
		*ids = append(*ids, id)
	}
	for _, ids := range []*[]uint64{&l.tables, &l.wals, &l.vlogs} {
		slices.Sort(*ids)
	}
	return l, nil
}

func walName(id uint64) string  { return fmt.Sprintf("%05d.mem", id) }
func vlogName(id uint64) string { return fmt.Sprintf("%06d.vlog", id) }

// reachOf tells, per value-log file, up to which byte acknowledged records point into it.
type reachOf map[uint32]int64

func (r reachOf) note(e storedEntry) {
	if p, ok := e.pointer(); ok {
		r[p.file] = max(r[p.file], int64(p.offset)+int64(p.size))
	}
}

// checkWALs demands that the commits in tables and write-ahead logs follow each other without a gap, up to the mark at least.
func (in *inspection) checkWALs(dir string, files *listing, m *mark) (reachOf, error) {
	reach := reachOf{}
	for _, id := range files.wals {
		name := walName(id)
		if files.names[name] == 0 { // its process died between making and sizing it, or while deleting it
			in.repairs = append(in.repairs, repair{"empty log", name, os.Remove})
			continue
		}
		s, err := scanWAL(filepath.Join(dir, name), in.keys, reach.note)
		if err != nil {
			return nil, err
		}
		if s.first > in.commit+1 {
			return nil, damaged(dir, name, "begins at commit %d, but what comes before ends at %d%s", s.first, in.commit, in.cutNote())
		}
		in.commit = max(in.commit, s.last)
		in.scans = append(in.scans, s)
		if err := in.checkTail(dir, s); err != nil {
			return nil, err
		}
		in.cutTail(s)
	}
	if m != nil && in.commit < m.commit {
		return nil, in.lostCommits(dir, m)
	}
	return reach, nil
}

// checkTail tells rot from the torn tail that a crash leaves. The mark cannot, where a power cut took it back too.
func (in *inspection) checkTail(dir string, s logScan) error {
	if s.emptyTail {
		return nil
	}
	last, err := lastCommitFrom(filepath.Join(dir, s.name), s.wholeTo, in.keys)
	if err != nil {
		return err
	}
	if last > in.commit+1 {
		return damaged(dir, s.name, "unreadable from byte %d on, though commit %d follows: commits %d to %d were acknowledged and are lost", s.wholeTo, last, in.commit+1, last-1)
	}
	return nil
}

// lostCommits blames the newest log that has an unreadable rest, or says that a file is gone.
func (in *inspection) lostCommits(dir string, m *mark) error {
	for _, s := range slices.Backward(in.scans) {
		if !s.emptyTail {
			return damaged(dir, s.name, "unreadable from byte %d on: commits %d to %d were acknowledged and are lost", s.wholeTo, in.commit+1, m.commit)
		}
	}
	return damaged(dir, "", "holds commits up to %d, but %d were acknowledged: a .mem file was removed, cut or emptied", in.commit, m.commit)
}

func (in *inspection) cutNote() string {
	for _, s := range slices.Backward(in.scans) {
		if !s.emptyTail {
			return fmt.Sprintf(": %s is unreadable from byte %d on", s.name, s.wholeTo)
		}
	}
	return ": a .mem file is missing"
}

// cutTail schedules what Badger would do as well, so that Badger never parses a torn entry.
func (in *inspection) cutTail(s logScan) {
	if s.emptyTail {
		return
	}
	in.repairs = append(in.repairs, repair{"torn tail, never acknowledged", s.name, func(path string) error {
		if err := os.Truncate(path, s.wholeTo); err != nil {
			return err
		}
		return syncPath(path) // Badger begins a new file next, and then the tail must not come back
	}})
}

// checkValueLogs allows a torn tail only beyond what records point to. Mostly it is in the newest file; in an older one after a power cut that took
// back how it was cut off.
func (in *inspection) checkValueLogs(dir string, files *listing, tables []tableRef, reach reachOf) error {
	noted := false
	for _, id := range files.vlogs {
		name := vlogName(id)
		if files.names[name] == 0 {
			in.repairs = append(in.repairs, repair{"empty log", name, os.Remove})
			continue
		}
		s, err := scanLog(filepath.Join(dir, name), in.keys, func(storedEntry) error { return nil })
		if err != nil {
			return err
		}
		if s.emptyTail {
			continue
		}
		if !noted {
			if err := noteTables(dir, tables, in.keys, reach); err != nil {
				return err
			}
			noted = true
		}
		if reach[uint32(id)] > s.wholeTo {
			return damaged(dir, name, "unreadable from byte %d of %d on, and records point there", s.wholeTo, s.size)
		}
		in.cutTail(s)
	}
	return nil
}

func noteTables(dir string, tables []tableRef, keys keyring, reach reachOf) error {
	for _, ref := range tables {
		t, err := openTableFile(dir, ref, keys)
		if err != nil {
			return err
		}
		err = t.each(func(e storedEntry) error { reach.note(e); return nil })
		t.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// checkHints schedules the removal of files that Badger would stumble over and that nobody misses.
func (in *inspection) checkHints(dir string, files *listing) error {
	for _, hint := range []struct {
		name  string
		sound func(data []byte) bool
	}{{registryFileName, soundRegistry}, {discardFileName, soundDiscards}} {
		if _, ok := files.names[hint.name]; !ok || hint.name == registryFileName && in.keys.data != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, hint.name))
		if err != nil {
			return fmt.Errorf("persist: read store: %w", err)
		}
		if !hint.sound(data) {
			in.repairs = append(in.repairs, repair{"damaged, made anew: it holds no records", hint.name, os.Remove})
		}
	}
	return nil
}

func soundRegistry(data []byte) bool {
	return len(data) == registryIVBytes+len(registryText) && string(data[registryIVBytes:]) == registryText
}

// soundDiscards: pairs of file id and bytes, ended by a zero id. Badger would search for ever for an id that occurs twice or exceeds 32 bits.
func soundDiscards(data []byte) bool {
	if len(data) == 0 {
		return true
	}
	if len(data) < discardBytesMin || len(data)%discardSlotBytes != 0 {
		return false
	}
	seen := map[uint64]bool{}
	for ; len(data) > 0; data = data[discardSlotBytes:] {
		id := binary.BigEndian.Uint64(data)
		if id == 0 {
			return true
		}
		if id>>32 != 0 || seen[id] || binary.BigEndian.Uint64(data[8:])>>48 != 0 {
			return false
		}
		seen[id] = true
	}
	return false
}
