package persist

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Salvaged says what Salvage got out of a damaged directory.
type Salvaged struct {
	Records  int     // passed on
	Lost     int     // known by key, value unreadable
	Problems []error // what could not be read, by file
}

// Salvage reads what is left of a damaged store, without Badger and without changing a byte. fn gets the newest readable version of each
// record in ascending order of keys. What a lost file would have said stays unknown: a record may be older than the last
// one acknowledged, and one that was deleted may be back. So what it yields is for people and for merging under a new
// incarnation, never for going on as if nothing had happened. All records are held in memory.
// The error is fn's, or says that the directory is in use or cannot be listed.
//
// key is that of an encrypted store, else nil; without its KEYREGISTRY nothing is left of one.
func Salvage(dir string, key []byte, fn func(key, value []byte) error) (*Salvaged, error) {
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	sv := &salvager{dir: filepath.Join(dir, badgerDirName), newest: map[string]version{}}
	files, err := list(sv.dir)
	if err != nil {
		return nil, err
	}
	if sv.keys, _, err = unlock(sv.dir, key, files); err != nil {
		return nil, err
	}
	sv.gather(files)
	err = sv.emit(fn)
	return &sv.Salvaged, err
}

type salvager struct {
	Salvaged
	dir    string
	keys   keyring
	newest map[string]version // by stored key
}

// version is one version of a stored key.
type version struct {
	commit uint64
	meta   byte
	value  []byte // sealed, or a pointer
}

func (sv *salvager) gather(files *listing) {
	for _, id := range files.tables {
		sv.problem(sv.table(id))
	}
	for _, id := range files.wals {
		s, err := scanWAL(filepath.Join(sv.dir, walName(id)), sv.keys, sv.note)
		if err == nil && !s.emptyTail {
			err = damaged(sv.dir, s.name, "unreadable from byte %d on", s.wholeTo)
		}
		sv.problem(err)
	}
	sv.unpackRedo()
}

func (sv *salvager) problem(err error) {
	if err != nil {
		sv.Problems = append(sv.Problems, err)
	}
}

// table goes on after a bad block.
func (sv *salvager) table(id uint64) error {
	t, err := openTableFile(sv.dir, tableRef{id, sv.keys.only()}, sv.keys)
	if err != nil {
		return err
	}
	defer t.close()
	var problems []error
	for i := range t.index.OffsetsLength() {
		data, err := t.block(i)
		if err == nil {
			err = eachInBlock(data, func(e storedEntry) error { sv.note(e); return nil })
		}
		if err != nil {
			problems = append(problems, &DamageError{Path: t.f.Name(), Detail: fmt.Sprintf("block %d", i), Err: err})
		}
	}
	return errors.Join(problems...)
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
	sv.problem(err)
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

func (sv *salvager) emit(fn func(key, value []byte) error) error {
	type record struct{ key, value []byte }
	var records []record
	for _, stored := range slices.Sorted(maps.Keys(sv.newest)) {
		v := sv.newest[stored]
		if stored == "" || stored[0] != spaceRecord || v.meta&metaDelete != 0 {
			continue
		}
		key, value, err := sv.open([]byte(stored), v)
		if err != nil {
			sv.Lost++
			sv.problem(&DamageError{Path: sv.dir, Key: []byte(stored[1:]), Detail: "value unreadable", Err: err})
			continue
		}
		records = append(records, record{key, value})
	}
	slices.SortStableFunc(records, func(a, b record) int { return cmp.Compare(string(a.key), string(b.key)) })
	for _, r := range records {
		if err := fn(r.key, r.value); err != nil {
			return err
		}
		sv.Records++
	}
	return nil
}
