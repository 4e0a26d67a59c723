package persist

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func FuzzEnvelope(f *testing.F) {
	long := bytes.Repeat([]byte("k"), inlineKeyBytes+9)
	f.Add(storedKey(nil, []byte("key")), seal(nil, storedKey(nil, []byte("key")), nil, []byte("value")))
	f.Add(storedKey(nil, long), seal(nil, storedKey(nil, long), long, []byte("value")))
	f.Add([]byte{}, []byte{})
	f.Add([]byte("\x01key"), []byte("\x20....value"))
	f.Fuzz(func(t *testing.T, stored, sealed []byte) {
		key, value, err := unseal(stored, sealed)
		if err != nil {
			return
		}
		var longKey []byte
		if isLongKey(stored) && sealed[0]&0x0f == kindLongKey {
			longKey = key
			if !bytes.Equal(storedKey(nil, key), stored) {
				t.Fatalf("key of %d bytes is not stored under its own name", len(key))
			}
		}
		if again := seal(nil, stored, longKey, value); !bytes.Equal(again, sealed) && longKey == nil {
			t.Fatalf("sealed again: %x, was %x", again, sealed)
		}
	})
}

// FuzzEnvelopeDamage: one changed byte never passes, in key or envelope.
func FuzzEnvelopeDamage(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), uint16(3), byte(1))
	f.Fuzz(func(t *testing.T, key, value []byte, at uint16, change byte) {
		stored := storedKey(nil, key)
		sealed := seal(nil, stored, nil, value)
		if isLongKey(stored) || change == 0 {
			return
		}
		both := append(bytes.Clone(stored), sealed...)
		both[int(at)%len(both)] ^= change
		if _, _, err := unseal(both[:len(stored)], both[len(stored):]); err == nil {
			t.Fatalf("byte %d changed by %x passed", int(at)%len(both), change)
		}
	})
}

func FuzzRedo(f *testing.F) {
	f.Add(encodeRedo([]pair{{[]byte("a"), []byte("1")}, {[]byte("b"), nil}, {nil, []byte{}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		pairs, err := decodeRedo(data)
		if err != nil {
			return
		}
		again, err := decodeRedo(encodeRedo(pairs))
		if err != nil || len(again) != len(pairs) {
			t.Fatalf("%d pairs became %d: %v", len(pairs), len(again), err)
		}
		for i := range pairs {
			if !bytes.Equal(pairs[i].key, again[i].key) || !bytes.Equal(pairs[i].value, again[i].value) || (pairs[i].value == nil) != (again[i].value == nil) {
				t.Fatalf("pair %d changed", i)
			}
		}
	})
}

// FuzzFiles: no content of a file makes a reader panic or claim more than there is.
func FuzzFiles(f *testing.F) {
	m := mark{seq: 1, commit: 2, manifestLen: 3}
	f.Add(m.encode())
	f.Add([]byte(identityText(1, storeID{1})))
	f.Add([]byte("\x40\x00\x0a\x05\x00key.....\xff\xff\xff\xff\xff\xff\xff\xfevalue...."))
	f.Add([]byte("\x00\x00\x0a\x00key.......\x00\x00\x00v\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, ok := decodeMark(data); ok && !bytes.Equal(m.encode(), data[:markSlotBytes]) && data[72] <= 1 {
			t.Fatalf("mark %+v encodes differently", m)
		}
		if _, _, err := parseIdentity("", string(data)); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
			t.Fatal(err)
		}
		r := &entryReader{r: bufio.NewReader(bytes.NewReader(data))}
		for left := int64(len(data)); ; {
			e, err := r.next(left)
			if err != nil {
				break
			}
			if left -= e.size; left < 0 {
				t.Fatalf("an entry of %d bytes in %d", e.size, len(data))
			}
		}
		soundDiscards(data)
		if body, err := verifiedBlock(data); err == nil {
			eachInBlock(body, func(storedEntry) error { return nil })
		}
		if len(data) >= 4 {
			eachInBlock(data, func(storedEntry) error { return nil })
		}
		decodeIncarnation(incarnationKey(1), data)
	})
}

// FuzzRegistry: no content of a key registry makes its readers panic, and they never claim more than there is.
func FuzzRegistry(f *testing.F) {
	f.Add([]byte("0123456789abcdefHello Badger"))
	f.Add([]byte("0123456789abcdefHello Badger\x00\x00\x00\x02....\x08\x01"))
	f.Add([]byte("\x08\x01\x12\x02ab\x1a\x100123456789abcdef\x20\x07"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key := make([]byte, KeyBytes)
		master, _ := aes.NewCipher(key)
		decryptDataKey(master, data)
		whole, err := checkRegistry(data)
		if err != nil {
			return
		}
		if whole > len(data) {
			t.Fatalf("%d of %d bytes", whole, len(data))
		}
		decryptRegistry(data[:whole], key)
	})
}

// FuzzBackup: no bytes make a reader of backups panic, hang or take more memory than they are.
func FuzzBackup(f *testing.F) {
	for _, name := range []string{"backup-1-plain.bin", "backup-1-encrypted.bin"} {
		if data, err := os.ReadFile(filepath.Join("testdata", name)); err == nil {
			f.Add(data)
			f.Add(data[:len(data)*2/3])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		CheckBackup(bytes.NewReader(data), nil)
		b, err := newBlockReader(bytes.NewReader(data), make([]byte, KeyBytes))
		if err != nil {
			return
		}
		defer b.close()
		for range 100 {
			x, err := b.next()
			if err != nil {
				if !x.past {
					return
				}
				continue
			}
			eachPair(x.content, func(_, _ []byte) error { return nil })
			decodeStarts(x.content)
			splitFile(x.content)
			if x.kind == blockEnd {
				b.last(x, 0)
			}
		}
	})
}
