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

// Layouts of the directory. 1: LOCK, VERSION, MARK, badger/. 2: the same, and Badger's files are encrypted. 4 and 7: these with journal/. Who
// opens the former makes the latter of them. No two are one bit apart.
const (
	formatBadger          = 1
	formatBadgerEncrypted = 2
	formatPlain           = 4
	formatEncrypted       = 7
	formatNewest          = formatEncrypted
)

func isEncrypted(format int) bool {
	return format == formatBadgerEncrypted || format == formatEncrypted
}

func hasJournal(format int) bool { return format == formatPlain || format == formatEncrypted }

// withJournal is the layout that an older one becomes.
var withJournal = map[int]int{formatBadger: formatPlain, formatBadgerEncrypted: formatEncrypted}

const versionFileName = "VERSION"

// storeID is drawn once, when a directory is made. It is in VERSION, in MARK and in a record, so that parts of two
// directories that were mixed up do not pass for one store.
type storeID [16]byte

func (id storeID) String() string { return hex.EncodeToString(id[:]) }

// openIdentity reads VERSION, or writes it where the directory is new.
func openIdentity(dir string, key []byte, random io.Reader) (id storeID, format int, err error) {
	id, format, err = identityOf(dir, key)
	if errors.Is(err, fs.ErrNotExist) {
		return createIdentity(dir, key, random)
	}
	return id, format, err
}

// upgrade notes that there is a journal, before anything is in it.
func (s *Store) upgrade() error {
	if hasJournal(s.format) {
		return nil
	}
	s.format = withJournal[s.format]
	if err := replaceFile(s.dir, versionFileName, []byte(identityText(s.format, s.id))); err != nil {
		return fmt.Errorf("persist: write version: %w", err)
	}
	return nil
}

// identityOf reads VERSION, and holds the key to what it says.
func identityOf(dir string, key []byte) (id storeID, format int, err error) {
	text, err := os.ReadFile(filepath.Join(dir, versionFileName))
	if err != nil {
		return id, 0, fmt.Errorf("persist: read version: %w", err)
	}
	id, format, err = parseIdentity(dir, string(text))
	switch {
	case err != nil:
		return id, format, err
	case isEncrypted(format) && key == nil:
		return id, format, fmt.Errorf("%w: %s is encrypted; give the key that it was made with", ErrKey, dir)
	case !isEncrypted(format) && key != nil:
		return id, format, fmt.Errorf("%w: %s is not encrypted, and a key was given; leave the key out, or back the store up and restore it with the key into another directory", ErrKey, dir)
	}
	return id, format, nil
}

func parseIdentity(dir, text string) (id storeID, format int, err error) {
	var hexID string
	if _, err := fmt.Sscanf(text, "edgemem store format %d", &format); err != nil {
		return id, 0, damaged(dir, versionFileName, "not a version file")
	}
	if format > formatNewest {
		return id, format, fmt.Errorf("%w: %s has format %d, this program writes %d; use a newer edgemem", ErrVersion, dir, format, formatNewest)
	}
	_, err = fmt.Sscanf(text, "edgemem store format %d\nid %32s\n", &format, &hexID)
	raw, hexErr := hex.DecodeString(hexID)
	if !hasJournal(format) && withJournal[format] == 0 || err != nil || hexErr != nil || len(raw) != len(id) || text != identityText(format, storeID(raw)) {
		return id, format, damaged(dir, versionFileName, "not a version file")
	}
	return storeID(raw), format, nil
}

func identityText(format int, id storeID) string {
	return fmt.Sprintf("edgemem store format %d\nid %v\n", format, id)
}

// createIdentity refuses where a store is present already: then VERSION was lost.
func createIdentity(dir string, key []byte, random io.Reader) (id storeID, format int, err error) {
	for _, name := range []string{markFileName, badgerDirName, journalDirName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return id, 0, damaged(dir, versionFileName, "missing, though %s is there", name)
		}
	}
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return id, 0, fmt.Errorf("persist: draw store id: %w", err)
	}
	format = formatPlain
	if key != nil {
		format = formatEncrypted
	}
	if err := replaceFile(dir, versionFileName, []byte(identityText(format, id))); err != nil {
		return id, 0, fmt.Errorf("persist: write version: %w", err)
	}
	return id, format, nil
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

// makeDir makes a directory that a power cut does not take away again, with all that was synced in it. One that is there already may
// have been made by a process that died before it came so far. Who may not read the parent did not make it there either.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := syncPath(filepath.Dir(filepath.Clean(dir))); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
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
