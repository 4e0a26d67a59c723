package resp

import (
	"encoding/binary"
	"math"

	"github.com/edgemem/edgemem/crdt"
)

func dumpCommands() []*command {
	return []*command{
		{name: "dump", arity: 2, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output", group: "generic", since: "2.6.0", cost: "O(N) for a value of N bytes",
			summary: "Gives what a key shows in the format of Redis's RESTORE.",
			note:    "For taking data to Redis. RESTORE is refused here: the format has no causality.", read: dump},
	}
}

// The parts of Redis's dump format, RDB version 10, that are written here.
const (
	rdbString  = 0
	rdbList    = 1
	rdbSet     = 2
	rdbHash    = 4
	rdbSorted  = 5
	rdbVersion = 10
)

func dump(c *client, v *crdt.View) {
	key := view(c.args[1])
	var b []byte
	switch kind := v.Kind(key); kind {
	case crdt.KindNone:
		c.null()
		return
	case crdt.KindString:
		val, _, _ := v.Get(key)
		b = appendRDB([]byte{rdbString}, val)
	case crdt.KindSet:
		n, _ := v.SetLen(key)
		b = appendRDBLength([]byte{rdbSet}, n)
		_ = v.SetEach(key, func(member string) bool {
			b = appendRDB(b, []byte(member))
			return len(b) <= c.limitBytes
		})
	case crdt.KindList:
		n, _ := v.ListLen(key)
		b = appendRDBLength([]byte{rdbList}, n)
		if c.unreadable(v.ListEach(key, 0, false, func(val []byte) bool {
			b = appendRDB(b, val)
			return len(b) <= c.limitBytes
		})) {
			return
		}
	case crdt.KindSorted:
		n, _ := v.SortedLen(key)
		b = appendRDBLength([]byte{rdbSorted}, n)
		_ = v.SortedEach(key, n-1, true, func(name []byte, score float64) bool {
			b = binary.LittleEndian.AppendUint64(appendRDB(b, name), math.Float64bits(score))
			return len(b) <= c.limitBytes
		})
	case crdt.KindMap:
		n, _ := v.MapLen(key)
		b = appendRDBLength([]byte{rdbHash}, n)
		_ = v.MapEach(key, func(field string, val []byte) bool {
			b = appendRDB(appendRDB(b, []byte(field)), val)
			return len(b) <= c.limitBytes
		})
	default:
		c.failf("ERR 'dump' of a %v not supported by edgemem", kind)
		return
	}
	b = binary.LittleEndian.AppendUint16(b, rdbVersion)
	c.bulk(binary.LittleEndian.AppendUint64(b, crc64Jones(b)))
}

func appendRDB[T string | []byte](b []byte, text T) []byte {
	return append(appendRDBLength(b, len(text)), text...)
}

// appendRDBLength writes a length in 6, 14 or 32 bits.
func appendRDBLength(b []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(b, byte(n))
	case n < 1<<14:
		return append(b, 0x40|byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0x80), uint32(n))
}

// jones is the reflected polynomial of Redis's checksum, from "Pseudo-random 64-bit CRC" by D. Jones. hash/crc64 cannot
// be used with it: that inverts before and after.
const jones = 0x95ac9329ac4bc9b5

var jonesTable = func() (t [256]uint64) {
	for i := range t {
		crc := uint64(i)
		for range 8 {
			odd := crc & 1
			if crc >>= 1; odd == 1 {
				crc ^= jones
			}
		}
		t[i] = crc
	}
	return t
}()

func crc64Jones(b []byte) (crc uint64) {
	for _, x := range b {
		crc = jonesTable[byte(crc)^x] ^ crc>>8
	}
	return crc
}
