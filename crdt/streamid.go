package crdt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// StreamID names an entry of a stream: milliseconds, as a rule of the Unix epoch, and a number within them.
type StreamID struct{ MS, Seq uint64 }

// StreamIDMax is the last there is.
var StreamIDMax = StreamID{math.MaxUint64, math.MaxUint64}

// Compare orders ids.
func (a StreamID) Compare(b StreamID) int {
	return cmp.Or(cmp.Compare(a.MS, b.MS), cmp.Compare(a.Seq, b.Seq))
}

// String is Redis's form, ms-seq.
func (a StreamID) String() string { return string(a.Append(nil)) }

// Append appends the text.
func (a StreamID) Append(b []byte) []byte {
	b = append(strconv.AppendUint(b, a.MS, 10), '-')
	return strconv.AppendUint(b, a.Seq, 10)
}

// ErrNotStreamID says that a text is no id.
var ErrNotStreamID = errors.New("crdt: not an id of a stream's entry, which is milliseconds-number")

// ParseStreamID reads what String writes. Error: ErrNotStreamID.
func ParseStreamID(text string) (id StreamID, err error) {
	ms, seq, _ := strings.Cut(text, "-")
	var errMS, errSeq error
	id.MS, errMS = strconv.ParseUint(ms, 10, 64)
	id.Seq, errSeq = strconv.ParseUint(seq, 10, 64)
	if errMS != nil || errSeq != nil {
		return StreamID{}, fmt.Errorf("%w: %.64q", ErrNotStreamID, text)
	}
	return id, nil
}

// Next is the id behind; ok is false of the last.
func (a StreamID) Next() (next StreamID, ok bool) {
	if a.Seq++; a.Seq == 0 {
		a.MS++
	}
	return a, a != StreamID{}
}

// Prev is the id before; ok is false of the first.
func (a StreamID) Prev() (prev StreamID, ok bool) {
	if a == (StreamID{}) {
		return a, false
	}
	if a.Seq--; a.Seq == math.MaxUint64 {
		a.MS--
	}
	return a, true
}

// A stream's entry is named by
//
//	name     ms  seq  writer  number         ordered as its bytes
//	writer   8 bytes, the hash of the start that wrote: entries of two that took one id are two
//	number   how many entries the stream had had when this one was added, itself included
type entryName struct {
	id     StreamID
	writer uint64
	number uint64
}

// entryNameMax is the length of the longest name.
const entryNameMax = 3*9 + 8

func (n entryName) append(b []byte) []byte {
	b = n.id.prefix(b)
	b = binary.BigEndian.AppendUint64(b, n.writer)
	return appendOrderedUint(b, n.number)
}

// prefix is what the names of all entries of an id begin with.
func (a StreamID) prefix(b []byte) []byte {
	return appendOrderedUint(appendOrderedUint(b, a.MS), a.Seq)
}

// takeEntryName reads what append writes, and nothing else.
func takeEntryName(b []byte) (n entryName, ok bool) {
	if n.id.MS, b, ok = takeOrderedUint(b); !ok {
		return n, false
	}
	if n.id.Seq, b, ok = takeOrderedUint(b); !ok || len(b) < 8 {
		return n, false
	}
	n.writer, b = binary.BigEndian.Uint64(b), b[8:]
	n.number, b, ok = takeOrderedUint(b)
	return n, ok && len(b) == 0
}

// appendOrderedUint writes a number behind its length, so that bytes are ordered as numbers are. A small seq takes a byte or two, the
// milliseconds of this century seven.
func appendOrderedUint(b []byte, x uint64) []byte {
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], x)
	n := 8
	for n > 0 && be[8-n] == 0 {
		n--
	}
	return append(append(b, byte(n)), be[8-n:]...)
}

func takeOrderedUint(b []byte) (x uint64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] > 8 || len(b) <= int(b[0]) {
		return 0, nil, false
	}
	n := int(b[0])
	if n > 0 && b[1] == 0 { // not the shortest form
		return 0, nil, false
	}
	for _, d := range b[1 : 1+n] {
		x = x<<8 | uint64(d)
	}
	return x, b[1+n:], true
}

// entryMS is what an order compares of a name first.
func entryMS(name []byte) uint64 {
	ms, _, _ := takeOrderedUint(name)
	return ms
}

// beyond is behind the names of all entries of an id: a writer's hash in them is as good as never all ones.
func (a StreamID) beyond() string {
	b := a.prefix(nil)
	for range 8 + 1 {
		b = append(b, 0xff)
	}
	return string(b)
}
