package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

// What a member sends may be absurd and well-formed. It may spoil its own writes, not the process: no panic, no
// long loop, no memory far beyond the message's size.

// forge writes messages as a hostile peer would.
type forge struct {
	t     originTable
	body  []byte
	cells []byte
	n     int
}

func (f *forge) chunk(flags byte, lo, hi pos, cut Context, floors map[Origin]Seq, scopes []span) []byte {
	f.body = appendPos(appendPos(nil, lo), hi)
	f.body = appendContext(f.body, &f.t, cut)
	f.body = binary.AppendUvarint(f.body, uint64(len(floors)))
	for id, s := range floors {
		f.body = binary.AppendUvarint(f.body, f.t.index(id))
		f.body = binary.AppendUvarint(f.body, uint64(s))
	}
	f.body = binary.AppendUvarint(f.body, uint64(len(scopes)))
	for _, s := range scopes {
		f.body = appendPos(appendPos(f.body, s.lo), s.hi)
	}
	f.body = append(append(binary.AppendUvarint(f.body, uint64(f.n)), f.cells...), 0) // and no block
	id := RegionIDOf("t")
	return f.t.seal(append(append([]byte{wireVersion}, id[:]...), flags), f.body)
}

func (f *forge) cell(kind CellKind, key, sub string, tips ...cellTip) {
	f.n++
	f.cells = append(f.cells, byte(kind))
	f.cells = appendBytes(appendBytes(f.cells, key), sub)
	f.cells = binary.AppendUvarint(f.cells, uint64(len(tips)))
	for _, t := range tips {
		f.cells = append(f.cells, t.form)
		f.cells = binary.AppendUvarint(f.cells, f.t.index(t.dot.Origin))
		f.cells = binary.AppendUvarint(f.cells, uint64(t.dot.Seq))
		if t.form == tipValue {
			f.cells = append(f.cells, byte(t.tag))
			f.cells = binary.BigEndian.AppendUint64(f.cells, uint64(t.hlc))
			f.cells = appendBytes(f.cells, t.val)
		}
	}
}

func everything(id Origin) Context { return Context{id: {Base: maxSeq}} }

func TestChunksThatARightPeerNeverSends(t *testing.T) {
	t.Parallel()
	x, y := testOrigin(50), testOrigin(51)
	at := hashKey{}.pos("k", CellValue, "")
	for name, make := range map[string]func(f *forge, self Origin) []byte{
		"a tip beyond the context": func(f *forge, _ Origin) []byte {
			f.cell(CellValue, "k", "", cellTip{dot: Dot{x, 9}, form: tipValue, tag: TagReg})
			return f.chunk(0, posMin, posMax, Context{x: {Base: 8}}, nil, nil)
		},
		"a known value that we lack": func(f *forge, _ Origin) []byte {
			f.cell(CellValue, "k", "", cellTip{dot: Dot{x, 9}, form: tipKnown})
			return f.chunk(0, posMin, posMax, everything(x), nil, nil)
		},
		"writes of ours that we did not make": func(f *forge, self Origin) []byte {
			return f.chunk(0, posMin, posMax, everything(self), nil, nil)
		},
		"a cell outside the range": func(f *forge, _ Origin) []byte {
			f.cell(CellValue, "k", "", cellTip{dot: Dot{x, 9}, form: tipGhost})
			return f.chunk(0, at.next(), posMax, everything(x), nil, nil)
		},
		"one cell twice": func(f *forge, _ Origin) []byte {
			f.cell(CellValue, "k", "", cellTip{dot: Dot{x, 9}, form: tipGhost})
			f.cell(CellValue, "k", "", cellTip{dot: Dot{x, 8}, form: tipGhost})
			return f.chunk(0, posMin, posMax, everything(x), nil, nil)
		},
		"one dot twice": func(f *forge, _ Origin) []byte {
			f.cell(CellValue, "k", "", cellTip{dot: Dot{x, 9}, form: tipGhost}, cellTip{dot: Dot{x, 9}, form: tipGhost})
			return f.chunk(0, posMin, posMax, everything(x), nil, nil)
		},
		"scopes that overlap": func(f *forge, _ Origin) []byte {
			return f.chunk(0, posMin, posMax, everything(x), nil, []span{{posMin, posMax}, {posMin, posMax}})
		},
		"a range that ends before it begins": func(f *forge, _ Origin) []byte {
			return f.chunk(0, posMax, posMin, everything(x), nil, nil)
		},
		"a flush with a name": func(f *forge, _ Origin) []byte {
			f.cell(CellFlush, "k", "", cellTip{dot: Dot{x, 9}, form: tipGhost})
			return f.chunk(0, posMin, posMax, everything(x), nil, nil)
		},
		"a value in a drop": func(f *forge, _ Origin) []byte {
			f.cell(CellDrop, "k", "", cellTip{dot: Dot{x, 9}, form: tipValue, tag: TagReg})
			return f.chunk(0, posMin, posMax, everything(x), nil, nil)
		},
		"a member of a value": func(f *forge, _ Origin) []byte {
			f.cell(CellValue, "k", "m", cellTip{dot: Dot{x, 9}, form: tipGhost})
			return f.chunk(0, posMin, posMax, everything(x), nil, nil)
		},
		"another region": func(f *forge, _ Origin) []byte {
			msg := f.chunk(0, posMin, posMax, everything(y), nil, nil)
			msg[1]++
			return msg
		},
	} {
		r := newTestRegion(1)
		update(t, r, func(tx *Tx) error { tx.Set("mine", []byte("v"), false); return nil })
		before := state(r)
		err := r.NewReceiver().Merge(make(&forge{}, r.Self()), testNow)
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrRolledBack) || state(r) != before {
			t.Errorf("%s: %v", name, err)
		}
		mustAudit(t, r)
	}
}

// TestFloods: the most that one frame can ask for is done in a moment, and what comes after works.
func TestFloods(t *testing.T) {
	t.Parallel()
	x := testOrigin(50)
	many := func(n int, form byte) (tips []cellTip) {
		for i := range n {
			tips = append(tips, cellTip{dot: Dot{x, Seq(2*i + 1)}, form: form, tag: TagReg})
		}
		return tips
	}
	for name, make := range map[string]func(f *forge) []byte{
		"siblings in one cell": func(f *forge) []byte {
			f.cell(CellValue, "k", "", many(20_000, tipValue)...)
			return f.chunk(chunkLast, posMin, posMax, everything(x), nil, nil)
		},
		"ghosts in one cell": func(f *forge) []byte {
			f.cell(CellValue, "k", "", many(20_000, tipGhost)...)
			return f.chunk(chunkLast, posMin, posMax, everything(x), nil, nil)
		},
		"origins": func(f *forge) []byte {
			cut := Context{}
			for i := range 20_000 {
				cut[Origin{1, byte(i), byte(i >> 8)}] = Runs{Base: maxSeq}
			}
			return f.chunk(chunkLast, posMin, posMax, cut, nil, nil)
		},
		"ranges in a context": func(f *forge) []byte {
			var runs Runs
			for i := range wireSpansMax {
				runs.Above = append(runs.Above, Span{Seq(2*i + 2), Seq(2*i + 2)})
			}
			return f.chunk(chunkLast, posMin, posMax, Context{x: runs}, nil, nil)
		},
		"floors": func(f *forge) []byte {
			return f.chunk(chunkLast|chunkFull, posMin, posMax, everything(x), map[Origin]Seq{x: maxSeq}, []span{{posMin, posMax}})
		},
	} {
		r := newTestRegion(1)
		if err := r.NewReceiver().Merge(make(&forge{}), testNow); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f := &forge{} // the same cell once more, empty: everything goes
		f.cell(CellValue, "k", "")
		if err := r.NewReceiver().Merge(f.chunk(chunkLast, posMin, posMax, everything(x), nil, nil), testNow); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		update(t, r, func(tx *Tx) error { tx.Set("k", []byte("v"), false); return nil })
		mustAudit(t, r)
		b := copyOf(t, r, 2)
		if v, _, _ := b.View(testNow).Get("k"); string(v) != "v" {
			t.Fatalf("%s: got %q afterwards", name, v)
		}
	}
}

// TestPushFloods: pushes that can never apply, or that claim much, stay within bounds.
func TestPushFloods(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	for i := range 3000 {
		var tab originTable
		tab.index(Origin{2, byte(i), byte(i >> 8)})
		body := binary.AppendUvarint(nil, maxSeq-uint64(i))
		body = binary.AppendUvarint(body, 1<<63)
		body = append(body, opFolded, 0, byte(CellValue), byte(TagReg))
		body = appendBytes(appendBytes(body, fmt.Sprint(i%7)), "")
		body = binary.AppendVarint(body, -1<<62)
		body = appendBytes(body, "v")
		body = binary.AppendUvarint(body, 1) // one span: all that came before
		body = binary.AppendUvarint(body, 1)
		body = binary.AppendUvarint(body, maxSeq-uint64(i)-2)
		msg := tab.seal(append(appendBytes([]byte{wireVersion}, "t"), 0, 1), body)
		if _, err := r.Push(msg, testNow); err != nil {
			t.Fatal(err)
		}
	}
	mustAudit(t, r)
	before := testNow + MaxAheadMillis
	update(t, r, func(tx *Tx) error { tx.Set("mine", []byte("v"), false); return nil })
	if s := r.View(testNow).Siblings("mine"); len(s) != 1 || s[0].HLC.Millis() > before {
		t.Fatalf("our clock followed a forged stamp: %v", s)
	}
	if _, err := DecodeHello(r.Hello()); err != nil {
		t.Fatalf("our hello does not decode: %v", err)
	}
}
