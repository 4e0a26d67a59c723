package persist

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Every value is wrapped before Badger sees it:
//
//	format and kind (1 byte) | CRC-32C of stored key, that byte and payload (4, little endian) | payload
//
// The checksum covers the key, so that a value that turns up under another key is damage too.
const (
	envelopeFormat   = 1 // high nibble of the first byte; a higher one is from a newer program
	envelopeOverhead = 5

	kindPlain   = 0 // payload is the value
	kindLongKey = 1 // payload is uvarint key length, key, value
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errEnvelopeShort = errors.New("shorter than its envelope")
	errEnvelopeSum   = errors.New("checksum mismatch")
	errEnvelopeKind  = errors.New("unknown kind of value")
	errEnvelopeKey   = errors.New("its long key does not match")
)

// Badger takes keys of up to 65,000 bytes; ours may be longer. A key beyond inlineKeyBytes is stored as its
// first inlineKeyBytes and a SHA-256 of the whole, and travels whole within the value. Load puts such
// neighbours in order again.
const inlineKeyBytes = 32 << 10

// The first byte of a stored key divides the store.
const (
	spaceMeta   = 0x00 // the store's own records
	spaceRecord = 0x01 // callers' records
)

// storedKey maps a caller's key to the one Badger gets. The order of keys is kept, except among long keys
// that share their first inlineKeyBytes.
func storedKey(dst, key []byte) []byte {
	dst = append(dst, spaceRecord)
	if len(key) <= inlineKeyBytes {
		return append(dst, key...)
	}
	sum := sha256.Sum256(key)
	return append(append(dst, key[:inlineKeyBytes]...), sum[:]...)
}

// storedLen is the length of what storedKey makes.
func storedLen(key []byte) int {
	if len(key) <= inlineKeyBytes {
		return 1 + len(key)
	}
	return 1 + inlineKeyBytes + sha256.Size
}

func isLongKey(stored []byte) bool { return len(stored) > 1+inlineKeyBytes }

// seal appends the envelope of a record. stored is its stored key; key is nil unless it is a long one.
func seal(dst, stored, key, value []byte) []byte {
	kind := byte(kindPlain)
	if key != nil {
		kind = kindLongKey
	}
	start := len(dst)
	dst = append(dst, envelopeFormat<<4|kind, 0, 0, 0, 0)
	if key != nil {
		dst = append(binary.AppendUvarint(dst, uint64(len(key))), key...)
	}
	dst = append(dst, value...)
	binary.LittleEndian.PutUint32(dst[start+1:], envelopeSum(stored, dst[start:]))
	return dst
}

// sealedLen is the length of what seal makes.
func sealedLen(key, value []byte) int {
	n := envelopeOverhead + len(value)
	if key != nil {
		n += len(binary.AppendUvarint(nil, uint64(len(key)))) + len(key)
	}
	return n
}

func envelopeSum(stored, envelope []byte) uint32 {
	sum := crc32.Update(0, castagnoli, stored)
	sum = crc32.Update(sum, castagnoli, envelope[:1])
	return crc32.Update(sum, castagnoli, envelope[envelopeOverhead:])
}

// unseal checks an envelope and returns the caller's key and value, which alias its arguments.
// For records of the store itself the key is the stored one without its first byte.
func unseal(stored, envelope []byte) (key, value []byte, err error) {
	if len(envelope) < envelopeOverhead || len(stored) == 0 {
		return nil, nil, errEnvelopeShort
	}
	if binary.LittleEndian.Uint32(envelope[1:]) != envelopeSum(stored, envelope) {
		return nil, nil, errEnvelopeSum
	}
	if format := envelope[0] >> 4; format != envelopeFormat {
		return nil, nil, fmt.Errorf("%w: record of format %d, this program knows %d", ErrVersion, format, envelopeFormat)
	}
	payload := envelope[envelopeOverhead:]
	switch envelope[0] & 0x0f {
	case kindPlain:
		return stored[1:], payload, nil
	case kindLongKey:
		return unsealLong(stored, payload)
	}
	return nil, nil, errEnvelopeKind
}

func unsealLong(stored, payload []byte) (key, value []byte, err error) {
	n, size := binary.Uvarint(payload)
	if size <= 0 || n > uint64(len(payload)-size) || n <= inlineKeyBytes {
		return nil, nil, errEnvelopeKey
	}
	key, value = payload[size:size+int(n)], payload[size+int(n):]
	if !bytes.Equal(storedKey(nil, key), stored) {
		return nil, nil, errEnvelopeKey
	}
	return key, value, nil
}
