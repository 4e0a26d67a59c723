package dataset

import (
	"fmt"
	"io/fs"
	"iter"
	"strconv"
)

// A packages source lists one kind of package database.
type packages struct {
	name string
	file string // whose presence says that the machine has this database
	read func(root fs.FS) iter.Seq2[Record, error]
}

func databases() []packages {
	return []packages{
		{"the dpkg database of this machine", "var/lib/dpkg/status", dpkg},
		{"the apk database of this machine", "lib/apk/db/installed", apk},
	}
}

// machine gives the package database, then the metadata of system files if that is too little.
func machine(root fs.FS) (Source, error) {
	for _, db := range databases() {
		if _, err := fs.Stat(root, db.file); err == nil {
			return Source{db.name, filledUp(root, db.read(root))}, nil
		}
	}
	if _, err := fs.Stat(root, systemDir); err == nil {
		return Source{"the metadata of the files under /" + systemDir, systemFiles(root)}, nil
	}
	return Source{}, ErrNoData
}

func filledUp(root fs.FS, first iter.Seq2[Record, error]) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		n := 0
		for r, err := range first {
			if !yield(r, err) {
				return
			}
			n++
		}
		if n < enoughRecords {
			systemFiles(root)(yield)
		}
	}
}

const systemDir = "usr"

// systemFiles describes each file under /usr as a hash: what a device that keeps an inventory would do.
// What cannot be read is passed over.
func systemFiles(root fs.FS) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		_ = fs.WalkDir(root, systemDir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			info, err := d.Info()
			if err != nil || d.IsDir() {
				return nil
			}
			if !yield(inode(path, info), nil) {
				return fs.SkipAll
			}
			return nil
		})
	}
}

func inode(path string, info fs.FileInfo) Record {
	return Record{Key: "inode:/" + path, Kind: Hash, Fields: []Field{
		{"size", strconv.FormatInt(info.Size(), 10)},
		{"mode", info.Mode().String()},
		{"modified", strconv.FormatInt(info.ModTime().Unix(), 10)},
	}}
}

// sections gathers what belongs together across packages and is written once at the end: the members
// of each section, and their size as a counter.
type sections struct {
	order   []string
	members map[string][]string
	kib     map[string]int64
}

func newSections() *sections {
	return &sections{members: map[string][]string{}, kib: map[string]int64{}}
}

func (s *sections) add(section, pkg string, kib int64) {
	if section == "" {
		section = "none"
	}
	if _, known := s.members[section]; !known {
		s.order = append(s.order, section)
	}
	s.members[section] = append(s.members[section], pkg)
	s.kib[section] += kib
}

func (s *sections) yield(yield func(Record, error) bool) bool {
	for _, name := range s.order {
		if !yield(Record{Key: "section:" + name, Kind: Set, Members: s.members[name]}, nil) ||
			!yield(Record{Key: fmt.Sprintf("section:%s:kib", name), Kind: Counter, Count: s.kib[name]}, nil) {
			return false
		}
	}
	return true
}
