package persist

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// formatVersion is the layout of the directory that this program writes. 1: LOCK, VERSION, MARK, badger/.
const formatVersion = 1

const versionFileName = "VERSION"

// storeID is drawn once, when a directory is made. It is in VERSION, in MARK and in a record, so that parts of two
// directories that were mixed up do not pass for one store.
type storeID [16]byte

func (id storeID) String() string { return hex.EncodeToString(id[:]) }

// openIdentity reads VERSION, or writes it where the directory is new.
func openIdentity(dir string, random io.Reader) (storeID, error) {
	text, err := os.ReadFile(filepath.Join(dir, versionFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return createIdentity(dir, random)
	}
	if err != nil {
		return storeID{}, fmt.Errorf("persist: read version: %w", err)
	}
	return parseIdentity(dir, string(text))
}

func parseIdentity(dir, text string) (id storeID, err error) {
	var format int
	var hexID string
	if _, err := fmt.Sscanf(text, "edgemem store format %d", &format); err != nil {
		return id, damaged(dir, versionFileName, "not a version file")
	}
	if format > formatVersion {
		return id, fmt.Errorf("%w: %s has format %d, this program writes %d; use a newer edgemem", ErrVersion, dir, format, formatVersion)
	}
	_, err = fmt.Sscanf(text, "edgemem store format %d\nid %32s\n", &format, &hexID)
	raw, hexErr := hex.DecodeString(hexID)
	if err != nil || hexErr != nil || len(raw) != len(id) || text != identityText(format, storeID(raw)) {
		return id, damaged(dir, versionFileName, "not a version file")
	}
	return storeID(raw), nil
}

func identityText(format int, id storeID) string {
	return fmt.Sprintf("edgemem store format %d\nid %v\n", format, id)
}

// createIdentity refuses where a store is present already: then VERSION was lost.
func createIdentity(dir string, random io.Reader) (id storeID, err error) {
	for _, name := range []string{markFileName, badgerDirName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return id, damaged(dir, versionFileName, "missing, though %s is there", name)
		}
	}
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return id, fmt.Errorf("persist: draw store id: %w", err)
	}
	if err := replaceFile(dir, versionFileName, []byte(identityText(formatVersion, id))); err != nil {
		return id, fmt.Errorf("persist: write version: %w", err)
	}
	return id, nil
}

// replaceFile writes a file that is there whole or not at all, whatever happens.
func replaceFile(dir, name string, data []byte) error {
	temp := filepath.Join(dir, name+".new")
	if err := writeSynced(temp, data); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncPath(dir)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// syncPath fsyncs a file or a directory.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
