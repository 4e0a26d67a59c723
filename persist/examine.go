package persist

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Examination is what a look at a closed store found. Nothing was changed.
type Examination struct {
	Store        string   `json:"store"` // its id
	Encrypted    bool     `json:"encrypted"`
	Commit       uint64   `json:"commit"`                  // up to where it is readable; 0 where it is damaged
	Acknowledged uint64   `json:"acknowledged"`            // up to where commits were acknowledged, as the mark says
	Clean        bool     `json:"closed_cleanly"`          // the last process closed it
	Tables       int      `json:"tables"`                  // files
	Logs         int      `json:"logs"`                    // files
	ValueLogs    int      `json:"value_logs"`              // files
	Undrained    uint64   `json:"undrained_commits"`       // in the journal alone, not in tables yet
	Disk         Disk     `json:"disk"`                    // bytes of blocks
	Garbage      int64    `json:"value_log_garbage_bytes"` // as far as compactions have found it
	Repairs      []string `json:"repairs,omitempty"`       // what the next start mends, none of which was acknowledged
	Damage       error    `json:"-"`                       // nil: every byte that the store relies on is sound
}

// Examine verifies a closed store as Open does, every byte that it relies on, and tells what it is made of. Its error says why it could not
// look: ErrLocked, ErrKey, ErrVersion, or the file system's. Damage is no error of it.
func Examine(dir string, key []byte) (x Examination, err error) {
	lock, err := lockExisting(dir)
	if errors.Is(err, fs.ErrNotExist) && exists(filepath.Join(dir, badgerDirName)) {
		lock, err = lockDir(dir) // VERSION is lost, which is damage
	}
	if err != nil {
		return x, err
	}
	defer lock.release()
	x.Encrypted = key != nil
	sub := filepath.Join(dir, badgerDirName)
	if err := x.measure(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return x, err
	}
	err = x.verify(dir, sub, key)
	var damage *DamageError
	if errors.As(err, &damage) {
		x.Damage, err = err, nil
	}
	return x, err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (x *Examination) verify(dir, sub string, key []byte) error {
	id, _, err := identityOf(dir, key)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(dir, versionFileName, "missing, though %s is there", badgerDirName)
	}
	if err != nil {
		return err
	}
	x.Store = id.String()
	last, err := readMark(dir)
	if err != nil {
		return err
	}
	if last != nil {
		x.Acknowledged, x.Clean = last.journal, last.clean
	}
	s := &Store{dir: dir, sub: sub, config: Config{Key: key}, id: id}
	found, err := s.inspect(last)
	if err != nil {
		return err
	}
	x.Commit, x.Undrained = found.journal, found.undrained()
	for _, r := range found.repairs {
		x.Repairs = append(x.Repairs, r.file+": "+r.why)
	}
	return nil
}

func (x *Examination) measure(dir string) error {
	sub := filepath.Join(dir, badgerDirName)
	files, err := list(sub)
	if err != nil {
		return err
	}
	x.Tables, x.Logs, x.ValueLogs = len(files.tables), len(files.wals), len(files.vlogs)
	var st Stats
	if err := st.addFiles(dir); err != nil {
		return err
	}
	x.Disk, x.Garbage = st.Disk(), garbageIn(sub)
	return nil
}

// garbageIn adds up what Badger's discard statistics tell: pairs of value-log file and bytes, ended by a zero. It is a hint.
func garbageIn(sub string) (bytes int64) {
	data, err := os.ReadFile(filepath.Join(sub, discardFileName))
	if err != nil || !soundDiscards(data) {
		return 0
	}
	for ; len(data) >= discardSlotBytes && binary.BigEndian.Uint64(data) != 0; data = data[discardSlotBytes:] {
		bytes += int64(binary.BigEndian.Uint64(data[8:]))
	}
	return bytes
}

// Usage gives what the newest version of each record whose key begins with prefix takes: its key, and how many bytes it has on disk,
// without what Badger adds. It reads no values.
func (s *Store) Usage(prefix []byte, fn func(key []byte, bytes int64)) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	snap, err := s.snapshot()
	if err != nil {
		return err
	}
	defer snap.close()
	return snap.eachKey(prefix, func(key []byte, bytes int64) error { fn(key, bytes); return nil })
}

// Garbage is what compactions have found in the value log that nobody points to.
func (s *Store) Garbage() int64 { return garbageIn(s.sub) }
