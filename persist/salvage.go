package persist

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4/fb"

	"github.com/edgemem/edgemem/crdt"
)

// Salvaged says what Salvage got out of a damaged directory.
type Salvaged struct {
	Records  int     // passed on
	Lost     int     // known by key, value unreadable
	Problems []error // what could not be read, by file

	// Commit is up to where what was passed on goes: behind a gap in the logs nothing is taken, so that it shows one instant. Acknowledged is
	// up to where it should have gone, 0 where the mark is gone too.
	Commit, Acknowledged uint64
	// Torn are the regions in which records may be missing, with those that are readable. As replicas they would be wrong: others would
	// take what is missing for removed.
	Torn []LostRegion
	// Whole are the others.
	Whole []LostRegion

	gaps []gap
}

// Salvage reads what is left of a damaged store, without Badger and without changing a byte. fn gets the newest readable version of each
// record in ascending order of keys. What a lost file would have said stays unknown: a record may be older than the last
// one acknowledged, and one that was deleted may be back. So what it yields is for people and for merging under a new
// incarnation, never for going on as if nothing had happened. All records are held in memory.
// The error is fn's, or says that the directory is in use or cannot be listed.
//
// key is that of an encrypted store, else nil; without its KEYREGISTRY nothing is left of one.
func Salvage(dir string, key []byte, fn func(key, value []byte) error) (*Salvaged, error) {
	sv, records, err := salvage(dir, key)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if err := fn(r.key, r.value); err != nil {
			return &sv.Salvaged, err
		}
	}
	return &sv.Salvaged, nil
}

// SalvageBackup is Salvage that writes a backup. What it gives back tells RestoreBackup which regions are torn.
func SalvageBackup(ctx context.Context, dir string, key []byte, w io.Writer, o Backup) (*Salvaged, error) {
	sv, records, err := salvage(dir, key)
	if err != nil {
		return nil, err
	}
	if err := sv.backUp(ctx, records, key, w, o); err != nil {
		return &sv.Salvaged, fmt.Errorf("persist: salvage: %w", err)
	}
	return &sv.Salvaged, nil
}

func salvage(dir string, key []byte) (*salvager, []pair, error) {
	lock, err := lockDir(dir)
	if err != nil {
		return nil, nil, err
	}
	defer lock.release()
	sv := &salvager{dir: filepath.Join(dir, badgerDirName), newest: map[string]version{}}
	files, err := list(sv.dir)
	if err != nil {
		return nil, nil, err
	}
	if sv.keys, _, err = unlock(sv.dir, key, files); err != nil {
		return nil, nil, err
	}
	m, err := readMark(dir)
	if err != nil {
		sv.problem(err)
	} else if m != nil {
		sv.Acknowledged = m.journal
	}
	sv.gather(files, m)
	if err := sv.gatherJournal(journalPath(dir), m); err != nil {
		return nil, nil, err
	}
	if sv.Commit < sv.Acknowledged {
		sv.problem(damaged(sv.dir, "", "readable up to commit %d, %d were acknowledged", sv.Commit, sv.Acknowledged))
	}
	records := sv.records()
	sv.sort(records)
	return sv, records, nil
}

type salvager struct {
	Salvaged
	dir    string
	keys   keyring
	newest map[string]version // by stored key
	badger uint64             // up to where Badger's transactions are taken
	cut    bool               // a log of Badger's ends in what is unreadable
}

// version is one version of a stored key.
type version struct {
	commit uint64
	meta   byte
	value  []byte // sealed, or a pointer
}

func (sv *salvager) gather(files *listing, m *mark) {
	for _, ref := range sv.tables(files) {
		sv.problem(sv.table(ref))
	}
	for _, id := range files.wals {
		sv.wal(id)
	}
	// What is lost behind a transaction of Badger's may be half of a segment: then no instant shows.
	if m != nil && sv.badger < m.commit || m == nil && sv.cut {
		sv.gaps = append(sv.gaps, gap{})
		sv.problem(damaged(sv.dir, "", "transactions behind number %d are lost", sv.badger))
	}
	sv.unpackRedo()
}

// journalVersion is more than any of Badger's numbers: what is in the journal is newer.
const journalVersion = 1 << 63

// gatherJournal takes commits as long as they follow each other.
func (sv *salvager) gatherJournal(dir string, m *mark) error {
	firsts, err := listSegments(dir)
	if err != nil {
		return err
	}
	sv.Commit = sv.drained()
	if m != nil {
		sv.Commit = max(sv.Commit, m.drained) // the record of it may be in what is unreadable
	}
	id, err := salvagedID(filepath.Dir(dir), firsts, m)
	if err != nil {
		sv.problem(err)
		return nil
	}
	for _, first := range firsts {
		if first > sv.Commit+1 {
			sv.problem(damaged(dir, segmentName(first), "begins at commit %d, but what comes before ends at %d", first, sv.Commit))
			return nil
		}
		s, err := scanSegment(filepath.Join(dir, segmentName(first)), id, first, sv.keys, sv.noteJournaled)
		if err == nil && s.bad != nil && !s.emptyTail {
			err = damaged(dir, s.name, "%v", s.bad)
		}
		if err == nil && s.bad == nil && !s.emptyTail {
			err = damaged(dir, s.name, "unreadable from byte %d on", s.wholeTo)
		}
		sv.problem(err)
		sv.Commit = max(sv.Commit, s.last)
	}
	return nil
}

// salvagedID is the store's id, which the journal must have too. Without MARK, which has a checksum, it is that of VERSION, or of the journal itself.
func salvagedID(dir string, firsts []uint64, m *mark) (id storeID, err error) {
	if m != nil {
		return m.id, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, versionFileName))
	if err == nil {
		if id, _, err = parseIdentity(dir, string(text)); err == nil {
			return id, nil
		}
	}
	if len(firsts) == 0 {
		return id, nil
	}
	f, openErr := os.Open(filepath.Join(journalPath(dir), segmentName(firsts[0])))
	if openErr != nil {
		return id, err
	}
	defer f.Close()
	var head [segmentHead]byte
	if _, openErr := f.ReadAt(head[:], 0); openErr != nil {
		return id, err
	}
	return storeID(head[8:24]), nil
}

// drained is up to where commits are in Badger, as far as that is readable.
func (sv *salvager) drained() uint64 {
	v, ok := sv.newest[string(drainedKey)]
	if !ok {
		return sv.badger // a store from before there was a journal
	}
	_, value, err := sv.open(drainedKey, v)
	if err != nil || len(value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

func (sv *salvager) noteJournaled(commit uint64, p pair, _ place) error {
	if commit <= sv.Commit {
		return nil // drained, and its file is left behind
	}
	meta := byte(0)
	if p.value == nil {
		meta = metaDelete
	}
	sv.newest[string(p.key)] = version{journalVersion | commit, meta, slices.Clone(p.value)}
	return nil
}

// tables are those that MANIFEST names. Without it all are taken, and nobody knows which are missing.
func (sv *salvager) tables(files *listing) (refs []tableRef) {
	known, _, err := readManifest(sv.dir)
	if err == nil {
		return refsOf(known)
	}
	if len(files.tables)+len(files.wals) > 0 {
		sv.problem(err)
		sv.gaps = append(sv.gaps, gap{})
	}
	for _, id := range files.tables {
		refs = append(refs, tableRef{id, sv.keys.only()})
	}
	return refs
}

// wal takes entries as long as commits follow each other.
func (sv *salvager) wal(id uint64) {
	s, err := scanWAL(filepath.Join(sv.dir, walName(id)), sv.keys, func(e storedEntry) {
		if e.commit() > sv.badger+1 {
			return
		}
		sv.badger = max(sv.badger, e.commit())
		sv.note(e)
	})
	if err == nil && !s.emptyTail {
		sv.cut = true
		err = damaged(sv.dir, s.name, "unreadable from byte %d on", s.wholeTo)
	}
	sv.problem(err)
}

func (sv *salvager) problem(err error) {
	if err != nil {
		sv.Problems = append(sv.Problems, err)
	}
}

// table goes on after a bad block.
func (sv *salvager) table(ref tableRef) error {
	t, err := openTableFile(sv.dir, ref, sv.keys)
	if err != nil {
		sv.gaps = append(sv.gaps, gap{}) // nobody knows what was in it
		return err
	}
	defer t.close()
	sv.badger = max(sv.badger, t.index.MaxVersion())
	var problems []error
	for i := range t.index.OffsetsLength() {
		data, err := t.block(i)
		if err == nil {
			err = eachInBlock(data, func(e storedEntry) error { sv.note(e); return nil })
		}
		if err != nil {
			sv.gaps = append(sv.gaps, gap{t.firstKey(i), t.firstKey(i + 1)})
			problems = append(problems, &DamageError{Path: t.f.Name(), Detail: fmt.Sprintf("block %d", i), Err: err})
		}
	}
	return errors.Join(problems...)
}

// firstKey is the caller's key that a block begins with; nil behind the last one, and where it is no caller's.
func (t *tableFile) firstKey(i int) []byte {
	var at fb.BlockOffset
	if i >= t.index.OffsetsLength() || !t.index.Offsets(&at, i) {
		return nil
	}
	key := at.KeyBytes()
	if len(key) < 9 || key[0] != spaceRecord {
		return nil
	}
	return slices.Clone(key[1 : len(key)-8])
}

func (sv *salvager) note(e storedEntry) {
	key := string(e.storedKey())
	if old, ok := sv.newest[key]; ok && old.commit > e.commit() {
		return
	}
	sv.newest[key] = version{e.commit(), e.meta, slices.Clone(e.value)}
}

// unpackRedo lets a batch that was not at its place yet count with its own commit's number.
func (sv *salvager) unpackRedo() {
	v, ok := sv.newest[string(redoKey)]
	if !ok || v.meta&metaDelete != 0 {
		return
	}
	for i := 0; ; i++ {
		part, ok := sv.newest[string(partKey(i))]
		if !ok || part.meta&metaDelete != 0 {
			break
		}
		sv.unpackPart(partKey(i), part, v.commit)
	}
	sv.unpackPart(redoKey, v, v.commit)
}

func (sv *salvager) unpackPart(key []byte, v version, commit uint64) {
	_, redo, err := sv.open(key, v)
	var pairs []pair
	if err == nil {
		pairs, err = decodeRedo(redo)
	}
	if err != nil {
		sv.gaps = append(sv.gaps, gap{})
		sv.problem(err)
	}
	for _, p := range pairs {
		if old := sv.newest[string(p.key)]; old.commit > commit {
			continue
		}
		meta := byte(0)
		if p.value == nil {
			meta = metaDelete
		}
		sv.newest[string(p.key)] = version{commit, meta, p.value}
	}
}

// open reads the value, from the value log if need be, and verifies it.
func (sv *salvager) open(stored []byte, v version) (key, value []byte, err error) {
	sealed := v.value
	if p, ok := (storedEntry{meta: v.meta, value: v.value}).pointer(); ok {
		if sealed, err = sv.follow(p); err != nil {
			return nil, nil, err
		}
	}
	return unseal(stored, sealed)
}

func (sv *salvager) follow(p valuePointer) ([]byte, error) {
	f, err := os.Open(filepath.Join(sv.dir, vlogName(uint64(p.file))))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lc, err := readLogHead(f, logHeadBytes, sv.keys)
	if err != nil {
		return nil, err
	}
	r := &entryReader{r: bufio.NewReader(io.NewSectionReader(f, int64(p.offset), int64(p.size)))}
	e, err := r.next(int64(p.size))
	if err != nil {
		return nil, err
	}
	e.offset = int64(p.offset)
	lc.decrypt(e)
	return e.value, nil
}

// records opens all callers' records, in order.
func (sv *salvager) records() (records []pair) {
	for _, stored := range slices.Sorted(maps.Keys(sv.newest)) {
		v := sv.newest[stored]
		if stored == "" || stored[0] != spaceRecord || v.meta&metaDelete != 0 {
			continue
		}
		key, value, err := sv.open([]byte(stored), v)
		if err != nil {
			sv.Lost++
			lost := []byte(stored[1:])
			sv.gaps = append(sv.gaps, gap{lost, lost})
			sv.problem(&DamageError{Path: sv.dir, Key: lost, Detail: "value unreadable", Err: err})
			continue
		}
		records = append(records, pair{key, value})
	}
	slices.SortStableFunc(records, func(a, b pair) int { return cmp.Compare(string(a.key), string(b.key)) })
	sv.Records = len(records)
	return records
}

// sort tells torn regions from whole ones.
func (sv *salvager) sort(records []pair) {
	torn, whole := newTorn(sv.gaps), newTorn(nil)
	for _, r := range records {
		id, ok := crdt.RecordRegion(r.key)
		if ok && torn.touches(id) {
			_ = torn.note(r.key, r.value) // no errors of its own
		} else {
			whole.count1(id, r.key, r.value)
		}
	}
	sv.Torn, sv.Whole = torn.regions(), whole.regions()
}

// starts are the starts of the node that are readable.
func (sv *salvager) starts() (list []Incarnation) {
	for _, stored := range slices.Sorted(maps.Keys(sv.newest)) {
		if !strings.HasPrefix(stored, string(incarnationPrefix)) {
			continue
		}
		_, value, err := sv.open([]byte(stored), sv.newest[stored])
		if err != nil {
			continue // a start that is not known shows as a notice once the node meets its peers
		}
		if inc, err := decodeIncarnation([]byte(stored), value); err == nil {
			list = append(list, inc)
		}
	}
	return list
}

func (sv *salvager) backUp(ctx context.Context, records []pair, key []byte, w io.Writer, o Backup) error {
	starts := sv.starts()
	if n := len(starts); n > 0 {
		o.Node = string(starts[n-1].Node)
	}
	about := BackupAbout{
		Made: time.Now().UTC().Format(time.RFC3339), By: o.By, Name: o.Name, Node: o.Node, Commit: sv.Commit, Records: uint64(len(records)),
	}
	for _, r := range records {
		about.Bytes += int64(len(r.key) + len(r.value))
	}
	b := &backingUp{ctx: ctx, o: o}
	if err := b.open(about, key, w); err != nil {
		return err
	}
	if err := b.preamble(starts); err != nil {
		return err
	}
	for _, r := range records {
		if err := b.record(r.key, r.value); err != nil {
			return err
		}
	}
	return b.finish()
}
