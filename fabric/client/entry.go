package client

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/edgemem/edgemem/crdt"
)

// Entry is what a key holds.
type Entry struct {
	Key       string            `json:"key"`
	Encoding  string            `json:"encoding" enum:"utf-8,base64" doc:"Of key, values, members and names: base64 where some are no UTF-8."`
	Type      string            `json:"type" doc:"none, string, set, hash, zset, list, stream, flag, bounded or another: none is an entry that is gone."`
	Value     *string           `json:"value,omitempty" doc:"Of a string: a register, or a counter's sum. Of a bounded counter its value. Of a JSON document its text."`
	On        *bool             `json:"on,omitempty" doc:"Of a flag."`
	Bounded   *Bounded          `json:"bounded,omitempty" doc:"Of a bounded counter."`
	Siblings  []string          `json:"siblings,omitempty" nullable:"false" doc:"Of a register that was written concurrently: all values, the one that shows first."`
	Length    *int64            `json:"length,omitempty" doc:"Of a block, whose bytes are read as its value."`
	Members   []string          `json:"members,omitempty" nullable:"false" doc:"Of a set in byte order, of a list in its order."`
	Fields    map[string]string `json:"fields,omitempty" doc:"Of a hash."`
	Scores    []Score           `json:"scores,omitempty" nullable:"false" doc:"Of a zset, by score."`
	Entries   []StreamEntry     `json:"entries,omitempty" nullable:"false" doc:"Of a stream, by id."`
	Truncated bool              `json:"truncated,omitempty" doc:"There is more than one answer holds."`
	ExpireMs  int64             `json:"expire_at_ms,omitempty" doc:"When it expires, Unix milliseconds."`
	ETag      string            `json:"etag" doc:"Of this state, as in If-Match."`
}

// Bounded is a counter that never passes its limit. Its value is the entry's.
type Bounded struct {
	Limit   int64 `json:"limit"`
	Ceiling bool  `json:"ceiling,omitempty" doc:"The value never rises above the limit; else it never falls below it."`
	Rights  int64 `json:"rights" doc:"How far this node can move the value towards the limit without others."`
}

// Score is one member of a sorted set.
type Score struct {
	Member string `json:"member"`
	Score  string `json:"score" doc:"A decimal number, inf or -inf."`
}

// StreamEntry is one entry of a stream.
type StreamEntry struct {
	ID     string   `json:"id" doc:"Milliseconds and a number within them, as in 1526919030474-55."`
	Fields []string `json:"fields" nullable:"false" doc:"Names and values by turns."`
}

// What one answer tells of an entry.
const (
	membersMax    = 10_000
	entryBytesMax = 4 << 20
)

// reader copies one entry out of a view, within the bounds.
type reader struct {
	e     Entry
	v     *crdt.View
	n     int
	bytes int
}

// ReadEntry copies an entry as JSON has it; its type is none where there is none. bytes is about what it takes. Error: crdt.ErrUnreadable.
func ReadEntry(v *crdt.View, key string) (e Entry, bytes int, err error) {
	e, bytes, err = readPlain(v, key)
	e.encode()
	return e, bytes, err
}

// readPlain copies an entry, its bytes as they are.
func readPlain(v *crdt.View, key string) (e Entry, bytes int, err error) {
	kind := v.Kind(key)
	x := reader{v: v, e: Entry{Key: key, Type: kind.String(), ETag: ETag(v, key)}}
	if at, ok := v.ExpireAt(key); ok {
		x.e.ExpireMs = at
	}
	err = x.read(kind, key)
	return x.e, x.bytes + len(key), err
}

// ETag names the state of an entry.
func ETag(v *crdt.View, key string) string {
	return fmt.Sprintf("%q", fmt.Sprintf("%016x", v.Fingerprint(key)))
}

// take counts one more member and its bytes, and reports whether there is room for it.
func (x *reader) take(bytes int) bool {
	if x.n >= membersMax || x.bytes+bytes > entryBytesMax {
		x.e.Truncated = true
		return false
	}
	x.n++
	x.bytes += bytes
	return true
}

func (x *reader) read(kind crdt.Kind, key string) (err error) {
	v, e := x.v, &x.e
	switch kind {
	case crdt.KindString:
		return x.scalar(key)
	case crdt.KindFlag:
		on, _, _, err := v.Flag(key)
		e.On = &on
		return err
	case crdt.KindBounded:
		b, _, err := v.Bounded(key)
		text := strconv.FormatInt(b.Value, 10)
		e.Value, e.Bounded = &text, &Bounded{b.Limit, b.Ceiling, b.Here}
		return err
	case crdt.KindJSON:
		doc, _, err := v.JSON(key, "")
		if text := doc.Append(nil, crdt.JSONStyle{}, entryBytesMax); x.take(len(text)) {
			val := string(text)
			e.Value = &val
		}
		return err
	case crdt.KindBlock:
		length, _, err := v.BlockLen(key)
		e.Length = &length
		return err
	case crdt.KindSet:
		err = v.SetEach(key, func(m string) bool {
			ok := x.take(len(m))
			if ok {
				e.Members = append(e.Members, m)
			}
			return ok
		})
		slices.Sort(e.Members)
	case crdt.KindList:
		err = v.ListEach(key, 0, false, func(val []byte) bool {
			ok := x.take(len(val))
			if ok {
				e.Members = append(e.Members, string(val))
			}
			return ok
		})
	case crdt.KindStream:
		err = v.StreamEach(key, 0, false, func(id crdt.StreamID, fields [][]byte) bool {
			entry, bytes := StreamEntry{ID: id.String(), Fields: []string{}}, len(id.String())
			for _, f := range fields {
				entry.Fields, bytes = append(entry.Fields, string(f)), bytes+len(f)
			}
			ok := x.take(bytes)
			if ok {
				e.Entries = append(e.Entries, entry)
			}
			return ok
		})
	case crdt.KindMap:
		e.Fields = map[string]string{}
		err = v.MapEach(key, func(f string, val []byte) bool {
			ok := x.take(len(f) + len(val))
			if ok {
				e.Fields[f] = string(val)
			}
			return ok
		})
	case crdt.KindSorted:
		err = v.SortedEach(key, 0, false, func(m []byte, score float64) bool {
			ok := x.take(len(m))
			if ok {
				e.Scores = append(e.Scores, Score{string(m), formatScore(score)})
			}
			return ok
		})
	}
	return err
}

func (x *reader) scalar(key string) error {
	val, _, err := x.v.Get(key)
	text := string(val)
	x.e.Value, x.bytes = &text, len(val)
	all := x.v.Siblings(key)
	if len(all) < 2 {
		return err
	}
	for _, s := range all {
		if !x.take(len(s.Value)) {
			break
		}
		x.e.Siblings = append(x.e.Siblings, string(s.Value))
	}
	return err
}

func formatScore(score float64) string {
	switch text := strconv.FormatFloat(score, 'g', -1, 64); text {
	case "+Inf":
		return "inf"
	case "-Inf":
		return "-inf"
	default:
		return text
	}
}

// encode turns the texts of an entry into base64 where some are no UTF-8, since JSON has only text.
func (e *Entry) encode() {
	e.Encoding = "utf-8"
	if e.isText() {
		return
	}
	e.Encoding = "base64"
	e.Key = in64(e.Key)
	if e.Value != nil {
		text := in64(*e.Value)
		e.Value = &text
	}
	for _, list := range [][]string{e.Siblings, e.Members} {
		for i := range list {
			list[i] = in64(list[i])
		}
	}
	for i := range e.Scores {
		e.Scores[i].Member = in64(e.Scores[i].Member)
	}
	for i := range e.Entries {
		for k, f := range e.Entries[i].Fields {
			e.Entries[i].Fields[k] = in64(f)
		}
	}
	if e.Fields != nil {
		fields := make(map[string]string, len(e.Fields))
		for f, v := range e.Fields {
			fields[in64(f)] = in64(v)
		}
		e.Fields = fields
	}
}

func (e *Entry) isText() bool {
	ok := utf8.ValidString(e.Key) && (e.Value == nil || utf8.ValidString(*e.Value))
	for _, list := range [][]string{e.Siblings, e.Members} {
		for _, s := range list {
			ok = ok && utf8.ValidString(s)
		}
	}
	for i := range e.Scores {
		ok = ok && utf8.ValidString(e.Scores[i].Member)
	}
	for i := range e.Entries {
		for _, f := range e.Entries[i].Fields {
			ok = ok && utf8.ValidString(f)
		}
	}
	for f, v := range e.Fields {
		ok = ok && utf8.ValidString(f) && utf8.ValidString(v)
	}
	return ok
}

func in64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
