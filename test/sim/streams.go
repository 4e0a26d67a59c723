package sim

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// streamShown is a stream as its readers see it.
type streamShown struct {
	Head  crdt.StreamHead
	IDs   []crdt.StreamID
	Texts []string
}

func (s *streamShown) text() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// streamBefore is the stream that an operation finds.
func streamBefore(was shown) (s streamShown) {
	if was.kind != crdt.KindNone {
		if err := json.Unmarshal([]byte(was.str), &s); err != nil {
			panic(err)
		}
	}
	return s
}

// streamActual reads a stream through the core's view: by id, and what a new reader gets on.
func streamActual(v *crdt.View, key string) string {
	var s streamShown
	s.Head, _, _ = v.StreamHead(key)
	_ = v.StreamEach(key, 0, false, func(id crdt.StreamID, fields [][]byte) bool {
		s.IDs, s.Texts = append(s.IDs, id), append(s.Texts, string(bytes.Join(fields, []byte{' '})))
		return true
	})
	read := 0
	_, _ = v.StreamRead(key, crdt.StreamCursor{}, 0, func(id crdt.StreamID, _ [][]byte) bool {
		if read < len(s.IDs) && id != s.IDs[read] {
			s.Texts = append(s.Texts, "is read as another")
		}
		read++
		return true
	})
	if n, _ := v.StreamLen(key); n != len(s.IDs) || read != n {
		s.Texts = append(s.Texts, fmt.Sprintf("counts %d, of which %d are read", n, read))
	}
	return s.text()
}

// streamExpected puts a stream together from what its entries hold, by name, and the live writes of its head.
func streamExpected(entries map[string]string, heads []*write) string {
	var s streamShown
	for _, w := range heads {
		var x [5]uint64
		rest := w.Value
		for i := range x {
			n := 0
			x[i], n = binary.Uvarint(rest)
			rest = rest[n:]
		}
		last, removed := crdt.StreamID{MS: x[0], Seq: x[1]}, crdt.StreamID{MS: x[2], Seq: x[3]}
		if c := last.Compare(s.Head.Last); c > 0 || c == 0 && x[4] > s.Head.Added {
			s.Head.Last, s.Head.Added = last, x[4]
		}
		if removed.Compare(s.Head.Removed) > 0 {
			s.Head.Removed = removed
		}
	}
	delete(entries, "") // the head
	var top crdt.StreamID
	added := uint64(0)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		top, added = entryOf(name)
		s.IDs = append(s.IDs, top)
		s.Texts = append(s.Texts, fieldsText(entries[name]))
	}
	if top.Compare(s.Head.Last) > 0 {
		s.Head.Last, s.Head.Added = top, added
	}
	s.Head.Added = max(s.Head.Added, uint64(len(s.IDs)))
	return s.text()
}

// entryOf takes the name of an entry apart: numbers behind their lengths, and eight bytes of the writer before the last.
func entryOf(name string) (id crdt.StreamID, number uint64) {
	take := func() (x uint64) {
		n := int(name[0])
		for _, d := range []byte(name[1 : 1+n]) {
			x = x<<8 | uint64(d)
		}
		name = name[1+n:]
		return x
	}
	id = crdt.StreamID{MS: take(), Seq: take()}
	name = name[8:]
	return id, take()
}

// fieldsText joins fields that stand behind their lengths.
func fieldsText(val string) string {
	var out []string
	for len(val) > 0 {
		n, k := binary.Uvarint([]byte(val))
		out = append(out, val[k:k+int(n)])
		val = val[k+int(n):]
	}
	return strings.Join(out, " ")
}

// streamID is the id that an addition asks for: beyond the last, or one that others may ask for, too.
func (o op) streamID(h crdt.StreamHead) crdt.StreamID {
	if o.kind == opStreamAddAt {
		return crdt.StreamID{MS: uint64(o.at) + 1, Seq: 7}
	}
	return crdt.StreamID{MS: h.Last.MS, Seq: h.Last.Seq + 1 + uint64(o.at)%3}
}

// toTrim is how many entries a trim takes; at times all.
func (o op) toTrim(n int) int {
	if o.at >= 50 {
		return n
	}
	return min(int(o.at)%4, n)
}

// headToSet is what a set of the head writes. The last id goes down at times, to the last entry's.
func (o op) headToSet(h crdt.StreamHead, top crdt.StreamID) crdt.StreamHead {
	h.Last.MS += uint64(o.at) % 2
	h.Added += uint64(o.at) % 3
	if o.at%5 == 0 {
		h.Last = top
	}
	return h
}

// doStream is do of a stream.
func (o op) doStream(tx *crdt.Tx) (string, error) {
	h, _, err := tx.StreamHead(o.key)
	if err != nil {
		return "", err
	}
	var ids []crdt.StreamID
	_ = tx.StreamEach(o.key, 0, false, func(id crdt.StreamID, _ [][]byte) bool { ids = append(ids, id); return true })
	top := crdt.StreamID{}
	if len(ids) > 0 {
		top = ids[len(ids)-1]
	}
	switch o.kind {
	case opStreamAdd, opStreamAddAt:
		return "", tx.StreamAdd(o.key, o.streamID(h), [][]byte{[]byte("f"), []byte(o.val)})
	case opStreamRemove:
		if len(ids) == 0 {
			ids = append(ids, top)
		}
		n, err := tx.StreamRemove(o.key, ids[int(o.at)%len(ids)])
		return fmt.Sprint(n), err
	case opStreamTrim:
		n, err := tx.StreamTrim(o.key, o.toTrim(len(ids)))
		return fmt.Sprint(n), err
	}
	return "", tx.StreamSet(o.key, o.headToSet(h, top))
}

// wantsOfStream is wantsOfKind of a stream.
func (o op) wantsOfStream(was, is shown) (shown, string, error) {
	s, result := streamBefore(was), ""
	n := len(s.IDs)
	switch {
	case o.kind == opStreamAdd || o.kind == opStreamAddAt:
		id := o.streamID(s.Head)
		if id.Compare(s.Head.Last) <= 0 {
			return was, "", crdt.ErrStreamID
		}
		s.IDs, s.Texts = append(s.IDs, id), append(s.Texts, "f "+o.val)
		s.Head.Last, s.Head.Added = id, s.Head.Added+1
	case was.kind == crdt.KindNone && o.kind == opStreamSet:
		return was, "", crdt.ErrNoStream
	case was.kind == crdt.KindNone:
		return was, "0", nil
	case o.kind == opStreamRemove:
		if n == 0 {
			return was, "0", nil
		}
		gone := s.IDs[int(o.at)%n]
		for i := n - 1; i >= 0; i-- {
			if s.IDs[i] == gone {
				s.IDs, s.Texts = slices.Delete(s.IDs, i, i+1), slices.Delete(s.Texts, i, i+1)
			}
		}
		result = fmt.Sprint(n - len(s.IDs))
		if gone.Compare(s.Head.Removed) > 0 {
			s.Head.Removed = gone
		}
	case o.kind == opStreamTrim:
		k := o.toTrim(n)
		s.IDs, s.Texts = s.IDs[k:], s.Texts[k:]
		result = fmt.Sprint(k)
	default:
		top := crdt.StreamID{}
		if n > 0 {
			top = s.IDs[n-1]
		}
		s.Head = o.headToSet(s.Head, top)
		s.Head.Added = max(s.Head.Added, uint64(n))
	}
	if len(s.IDs) == 0 {
		s.IDs, s.Texts = nil, nil
	}
	is.str = s.text()
	return is, result, nil
}
