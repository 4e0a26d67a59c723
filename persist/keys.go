package persist

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// KeyBytes is the length of an encryption key: AES-256.
const KeyBytes = 32

// Encrypted stores. Badger encrypts the entries of its logs and the blocks and indexes of its tables with AES-256 in counter
// mode, under a data key that it draws; KEYREGISTRY holds that data key, encrypted under the caller's key. The checksums of
// logs cover what is on disk, those of blocks what is inside, so that with the data key each byte can be checked as
// in a plain store. MANIFEST, MARK, VERSION and LOCK hold no content and stay plain.
//
// There is one data key in the life of a store: each log and each block has random bits of its own in its initial counter, so that
// one key serves for longer than disks last, and a registry that never grows cannot be torn. It is drawn here, before Badger
// opens: by a clock that shows a time near 1970 Badger takes "no key yet" for "a fresh one", and writes plain text.
const (
	dataKeyLife = time.Duration(math.MaxInt64)
	dataKeyNew  = time.Duration(math.MinInt64) // the life with which Badger draws one, whatever the clock shows
)

// drawDataKey makes the registry and its data key, durably, where there is none.
func drawDataKey(dir string, key []byte) error {
	registry, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: dir, EncryptionKey: key, EncryptionKeyRotationDuration: dataKeyNew})
	if err != nil {
		return fmt.Errorf("persist: make key registry: %w", err)
	}
	drawn, err := registry.LatestDataKey()
	if err == nil && drawn == nil {
		err = errors.New("no data key was drawn")
	}
	if err := errors.Join(err, registry.Close()); err != nil {
		return fmt.Errorf("persist: draw data key: %w", err)
	}
	return nil
}

// keyring gives the data keys of a store.
type keyring struct{ data map[uint64]cipher.Block } // by number; nil: the store is plain, or has no file yet

// cipherOf gives the cipher for a data key's number; nil for 0, which stands for plain.
func (k keyring) cipherOf(id uint64) (cipher.Block, error) {
	switch block := k.data[id]; {
	case block != nil:
		return block, nil
	case k.data == nil && id == 0:
		return nil, nil
	case k.data == nil:
		return nil, errKeyUnexpected
	case id == 0:
		return nil, errKeyNone
	}
	return nil, fmt.Errorf("names data key %d, which is not in %s", id, registryFileName)
}

// only gives the number of the data key where nothing else says which it is.
func (k keyring) only() uint64 {
	if k.data == nil {
		return 0
	}
	return 1
}

var (
	errKeyUnexpected = errors.New("names an encryption key, though the store is not encrypted")
	errKeyNone       = errors.New("is not encrypted, though the store is")
)

// A registry that cannot be read would take the whole store with it, so there is a copy of it, in KEYS beside VERSION: magic, CRC-32C of
// the rest (4, little endian), the registry.
const (
	keysFileName = "KEYS"
	keysMagic    = "emKEYS1\n"
)

// unlock reads the registry of an encrypted store, or its copy. key is nil for a plain store. One that has no file yet has nothing encrypted.
func unlock(dir string, key []byte, files *listing) (keyring, []repair, error) {
	if key == nil {
		return keyring{}, nil, nil
	}
	data, err := readRegistry(dir)
	if errors.Is(err, fs.ErrNotExist) && len(files.tables)+len(files.wals)+len(files.vlogs) == 0 {
		return keyring{}, nil, nil
	}
	keys, whole, err := openRegistry(dir, data, key, err)
	switch {
	case err == nil && whole == len(data):
		return keys, nil, nil
	case err == nil:
		return keys, []repair{{"torn tail, a data key that was never used", registryFileName, func(path string) error {
			return os.Truncate(path, int64(whole))
		}}}, nil
	}
	copied, copyErr := readKeysCopy(filepath.Dir(dir))
	if copyErr == nil {
		keys, _, copyErr = openRegistry(dir, copied, key, nil)
	}
	switch {
	case copyErr == nil:
		return keys, []repair{{"damaged, put back from its copy", registryFileName, func(path string) error {
			return replaceFile(filepath.Dir(path), filepath.Base(path), copied)
		}}}, nil
	case errors.Is(copyErr, ErrKey):
		err = copyErr
	}
	return keyring{}, nil, err
}

func readRegistry(dir string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, registryFileName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("persist: read store: %w", err)
	}
	return data, err
}

// openRegistry checks and decrypts what was read, or explains why that failed.
func openRegistry(dir string, data, key []byte, err error) (keys keyring, whole int, _ error) {
	if errors.Is(err, fs.ErrNotExist) {
		return keys, 0, damaged(dir, registryFileName, "missing: without the data key in it nothing can be decrypted")
	}
	if err != nil {
		return keys, 0, err
	}
	if whole, err = checkRegistry(data); err == nil {
		keys, err = decryptRegistry(data[:whole], key)
	}
	if errors.Is(err, ErrKey) {
		return keys, 0, fmt.Errorf("%w: it is not the one that %s was encrypted with; nothing was changed", ErrKey, filepath.Dir(dir))
	}
	if err == nil && len(keys.data) == 0 && whole < len(data) {
		err = errTableShape // its only key is cut
	}
	if err != nil {
		return keys, 0, &DamageError{Path: filepath.Join(dir, registryFileName), Detail: "unreadable, and without the data key in it nothing can be decrypted", Err: err}
	}
	return keys, whole, nil
}

func readKeysCopy(dir string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, keysFileName))
	if err != nil {
		return nil, err
	}
	head := len(keysMagic) + 4
	if len(data) < head || string(data[:len(keysMagic)]) != keysMagic ||
		binary.LittleEndian.Uint32(data[len(keysMagic):]) != crc32.Checksum(data[head:], castagnoli) {
		return nil, errTableSum
	}
	return data[head:], nil
}

// keepKeysCopy writes the copy where it is not as the registry.
func keepKeysCopy(dir, sub string) error {
	registry, err := readRegistry(sub)
	if err != nil {
		return err
	}
	if copied, err := readKeysCopy(dir); err == nil && bytes.Equal(copied, registry) {
		return nil
	}
	data := binary.LittleEndian.AppendUint32([]byte(keysMagic), crc32.Checksum(registry, castagnoli))
	if err := replaceFile(dir, keysFileName, append(data, registry...)); err != nil {
		return fmt.Errorf("persist: copy key registry: %w", err)
	}
	return nil
}

// decryptRegistry reads initial counter (16), a known text, and data keys, of a registry that is whole. ErrKey: the text does not come out.
func decryptRegistry(data, key []byte) (keyring, error) {
	master, err := aes.NewCipher(key)
	if err != nil {
		return keyring{}, err
	}
	head := registryIVBytes + len(registryText)
	text := make([]byte, len(registryText))
	cipher.NewCTR(master, data[:registryIVBytes]).XORKeyStream(text, data[registryIVBytes:head])
	if string(text) != registryText {
		return keyring{}, ErrKey
	}
	k := keyring{map[uint64]cipher.Block{}}
	for at := head; at < len(data); {
		n := 8 + int(binary.BigEndian.Uint32(data[at:]))
		id, secret, err := decryptDataKey(master, data[at+8:at+n])
		if err != nil {
			return k, err
		}
		if k.data[id], err = aes.NewCipher(secret); err != nil {
			return k, err
		}
		at += n
	}
	return k, nil
}

// decryptDataKey reads a protobuf message {1: number, 2: key, 3: initial counter, 4: time} by hand.
func decryptDataKey(master cipher.Block, b []byte) (id uint64, secret []byte, err error) {
	var fields [3][]byte
	for len(b) > 0 {
		tag := b[0]
		value, n := binary.Uvarint(b[1:])
		if n <= 0 {
			return 0, nil, errTableShape
		}
		b = b[1+n:]
		switch tag {
		case 1 << 3:
			id = value
		case 2<<3 | 2, 3<<3 | 2:
			if value > uint64(len(b)) {
				return 0, nil, errTableShape
			}
			fields[tag>>3-1], b = b[:value], b[value:]
		case 4 << 3:
		default:
			return 0, nil, errTableShape
		}
	}
	if id == 0 || len(fields[2]) != aes.BlockSize {
		return 0, nil, errTableShape
	}
	secret = make([]byte, len(fields[1]))
	cipher.NewCTR(master, fields[2]).XORKeyStream(secret, fields[1])
	return id, secret, nil
}

// registryEntryMax is far more than a data key takes.
const registryEntryMax = 1 << 12

// checkRegistry walks the data keys, each of length (4), CRC-32C (4) and as many bytes, and gives how far they are whole. Only
// the last may be cut, since each is synced before it is used.
func checkRegistry(data []byte) (whole int, err error) {
	at := registryIVBytes + len(registryText)
	if len(data) < at {
		return 0, errTableShape
	}
	for at < len(data) {
		rest := data[at:]
		if len(rest) < 8 {
			return at, nil
		}
		n := int(binary.BigEndian.Uint32(rest))
		if n > registryEntryMax {
			return 0, errTableShape
		}
		if n > len(rest)-8 {
			return at, nil
		}
		if crc32.Checksum(rest[8:8+n], castagnoli) != binary.BigEndian.Uint32(rest[4:]) {
			return 0, errTableSum
		}
		at += 8 + n
	}
	return at, nil
}

// Rekey encrypts the data key of a closed store under another key. The data itself stays as it is, so it takes no time; who has
// the old key and an old copy of the directory can still read that copy, and a store whose data key itself is
// known to others must be written anew: back it up and restore it. Errors: ErrKey, ErrLocked, ErrDamaged, ErrVersion.
func Rekey(dir string, old, new []byte) error {
	if err := checkKey(old); err != nil {
		return err
	}
	if err := checkKey(new); err != nil {
		return err
	}
	if old == nil || new == nil {
		return fmt.Errorf("%w: rotation needs the old key and the new one; to encrypt a plain store, or the other way, back it up and restore it", ErrKey)
	}
	lock, err := lockExisting(dir)
	if err != nil {
		return err
	}
	err = rekey(dir, old, new)
	return errors.Join(err, lock.release())
}

func rekey(dir string, old, new []byte) error {
	if _, _, err := identityOf(dir, old); err != nil {
		return err
	}
	sub := filepath.Join(dir, badgerDirName)
	files, err := list(sub)
	if err != nil {
		return err
	}
	_, repairs, err := unlock(sub, old, files)
	if err != nil {
		return err
	}
	for _, r := range repairs {
		if err := r.do(filepath.Join(sub, r.file)); err != nil {
			return fmt.Errorf("persist: rekey %s: %w", dir, err)
		}
	}
	registry, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: sub, ReadOnly: true, EncryptionKey: old})
	if err != nil {
		return damaged(sub, registryFileName, "unreadable: %v", err)
	}
	// Written aside, synced, renamed, and the directory synced: a crash leaves the one or the other.
	if err := badger.WriteKeyRegistry(registry, badger.KeyRegistryOptions{Dir: sub, EncryptionKey: new}); err != nil {
		return fmt.Errorf("persist: rekey %s: %w", dir, err)
	}
	if _, _, err := unlock(sub, new, files); err != nil {
		return fmt.Errorf("persist: rekey %s: read back: %w", dir, err)
	}
	return keepKeysCopy(dir, sub)
}

func checkKey(key []byte) error {
	if key != nil && len(key) != KeyBytes {
		return fmt.Errorf("%w: %d bytes, want %d", ErrKey, len(key), KeyBytes)
	}
	return nil
}
