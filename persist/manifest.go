package persist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// MANIFEST is a log of which tables exist: 8 bytes of magic and version, then records of length (4, big endian), checksum (4)
// and changes. Badger takes a cut at the end for a crash, and deletes every table that is not mentioned. So
// we hold it to what the mark saw: it may only grow, unless it was rewritten whole, which shows in
// its first record (empty in a new store, never empty after a rewrite).
const (
	manifestHeadBytes = 8
	recordHeadBytes   = 8
)

// readManifest gives the ids of the tables that exist, or nil where there is no manifest.
func readManifest(dir string) (tables map[uint64]badger.TableManifest, wholeBytes int64, err error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	defer func() {
		if r := recover(); r != nil {
			err = damaged(dir, badger.ManifestFilename, "unreadable: %v", r)
		}
	}()
	m, whole, err := badger.ReplayManifestFile(f, 0, badger.Options{})
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n") // Badger adds a paragraph of its own advice
		return nil, 0, damaged(dir, badger.ManifestFilename, "unreadable: %s", text)
	}
	for level := range m.Levels {
		if level >= badgerLevels {
			return nil, 0, damaged(dir, badger.ManifestFilename, "names level %d of %d", level, badgerLevels)
		}
	}
	return m.Tables, whole, nil
}

// manifestTag is the head of the first record as one number.
func manifestTag(f io.ReaderAt) (uint64, error) {
	var head [recordHeadBytes]byte
	if _, err := f.ReadAt(head[:], manifestHeadBytes); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(head[:]), nil
}

// checkManifest applies the rule above. m is nil for a store that was never opened whole.
func checkManifest(dir string, m *mark) (map[uint64]badger.TableManifest, error) {
	tables, whole, err := readManifest(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(dir, badger.ManifestFilename, "missing: without it Badger would delete every table")
	}
	if err != nil || m == nil {
		return tables, err
	}
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return nil, fmt.Errorf("persist: manifest: %w", err)
	}
	defer f.Close()
	tag, err := manifestTag(f)
	if err != nil {
		return nil, &DamageError{Path: filepath.Join(dir, badger.ManifestFilename), Detail: "its first record is missing", Err: err}
	}
	rewritten := tag != m.manifestTag
	if rewritten && tag>>32 == 0 {
		return nil, damaged(dir, badger.ManifestFilename, "begins anew, as in an empty store, though %d commits were acknowledged", m.commit)
	}
	if !rewritten && uint64(whole) < m.manifestLen {
		return nil, damaged(dir, badger.ManifestFilename, "whole up to byte %d only, %d were synced", whole, m.manifestLen)
	}
	return tables, nil
}

// observeManifest fsyncs MANIFEST where it grew and notes in m how far it came. It returns whether m changed.
func observeManifest(dir string, m *mark) (changed bool, err error) {
	path := filepath.Join(dir, badger.ManifestFilename)
	info, err := os.Stat(path)
	if err == nil && uint64(info.Size()) == m.manifestLen {
		return false, nil
	}
	if err == nil {
		err = m.noteManifest(path)
	}
	if err != nil {
		return false, fmt.Errorf("persist: manifest: %w", err)
	}
	return true, nil
}

// noteManifest reads the length before the fsync, so that the mark never vouches for bytes that could still be lost, and
// all through one descriptor, since a rewrite may put another file in its place meanwhile.
func (m *mark) noteManifest(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	tag, err := manifestTag(f)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	m.manifestLen, m.manifestTag = uint64(info.Size()), tag
	return nil
}
