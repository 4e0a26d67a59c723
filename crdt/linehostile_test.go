package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"
)

// pushOf is a push of one write of an origin, as a hostile peer would make it.
func pushOf(id Origin, seq Seq, key string, deps ...Dot) []byte {
	var tab originTable
	tab.index(id)
	body := binary.AppendUvarint(nil, uint64(seq))
	body = binary.AppendUvarint(body, uint64(hlcAt(testNow)))
	flags := byte(0)
	if len(deps) > 0 {
		flags = opDeps
	}
	body = append(body, flags, 0, byte(CellValue), byte(TagReg))
	body = appendBytes(appendBytes(body, key), "")
	body = binary.AppendVarint(body, 0)
	body = appendBytes(body, "v")
	if len(deps) > 0 {
		body = appendDots(body, &tab, deps)
	}
	return tab.seal(append(appendBytes([]byte{wireVersion}, "t"), 0, 1), body)
}

// fake is the i-th of many origins of a node that nobody was, of a low number.
func fake(node string, i int) Origin {
	id := startOrigin(node, 1)
	binary.BigEndian.PutUint32(id[12:], uint32(i)+1)
	return id
}

// TestLineIsNoWriter: nobody writes as a line, or as nobody. What came of it would be refused by all others from then on.
func TestLineIsNoWriter(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]Origin{"a line": startOrigin("n", 1).Line(), "nobody": {}} {
		r := started("peer", 1)
		set(t, r, "mine", "v")
		for _, seq := range []Seq{1, 2, 7} {
			if _, err := r.Push(pushOf(id, seq, "k"), testNow); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s pushes write %d: %v", name, seq, err)
			}
		}
		f := &forge{}
		f.cell(CellValue, "k", "", cellTip{dot: Dot{id, 1}, form: tipValue, tag: TagReg})
		if err := r.NewReceiver().Merge(f.chunk(chunkLast, posMin, posMax, Context{id: {Base: FirstNumber}}, nil, nil), testNow); !errors.Is(err, ErrMalformed) {
			t.Errorf("a chunk has a write of %s: %v", name, err)
		}
		mustAudit(t, r)
		other := started("other", 1)
		pullAll(t, other, r, 1<<16)
		back := restarted(t, r, startOrigin("peer", 2))
		for _, x := range []*Region{other, back} {
			if showing(x, "mine") != "v" || x.Digest() != r.Digest() {
				t.Errorf("%s: another replica holds something else", name)
			}
		}
	}
}

// TestLineFloods: origins below a line that nobody was take no room, and many lines no time.
func TestLineFloods(t *testing.T) {
	t.Parallel()
	peer, r := started("peer", 1), started("n", 5)
	set(t, r, "a", "v")
	r = restarted(t, r, startOrigin("n", 8))
	set(t, r, "b", "v")
	r.Collapse(r.origin.Number())
	pullAll(t, peer, r, 1<<16)
	before := len(peer.origins)
	for i := range 500 {
		if _, err := peer.Push(pushOf(fake("n", i), 1, "k"), testNow); err != nil {
			t.Fatal(err)
		}
	}
	var deps []Dot
	for i := range 500 {
		deps = append(deps, Dot{fake("n", 1000+i), 1})
	}
	if _, err := peer.Push(pushOf(startOrigin("m", 1), 1, "k", deps...), testNow); err != nil {
		t.Fatal(err)
	}
	mustAudit(t, peer)
	if n := len(peer.origins) - before; n > 1 {
		t.Errorf("%d origins more", n)
	}

	start := time.Now()
	few, many := Context{}, Context{}
	for i := range 20_000 {
		few[startOrigin(fmt.Sprint("x", i), 1)] = Runs{Base: 1}
		many[startOrigin(fmt.Sprint("y", i), 1).Line()] = Runs{Base: FirstNumber + 2}
	}
	few.Union(many)
	if took := time.Since(start); took > 10*time.Second || len(few) != 40_000 {
		t.Errorf("%d entries after %v", len(few), took)
	}
}

// TestLineRecords: what no replica writes is refused when it is read back.
func TestLineRecords(t *testing.T) {
	t.Parallel()
	line := startOrigin("n", 1).Line()
	for name, runs := range map[string]Runs{
		"beyond all numbers": {Base: 1 << 32},
		"with a gap":         {Base: FirstNumber, Above: []Span{{FirstNumber + 2, FirstNumber + 3}}},
	} {
		r := started("peer", 1)
		o := originState{id: line, runs: runs}
		if err := r.Load(Record{r.recordKey(recOrigin, make([]byte, 4)), o.encode()}); !errors.Is(err, ErrDamaged) {
			t.Errorf("a line %s: %v", name, err)
		}
	}
	r := started("peer", 1)
	o := originState{}
	if err := r.Load(Record{r.recordKey(recOrigin, make([]byte, 4)), o.encode()}); err != nil {
		t.Fatal(err)
	}
	c := &cell{key: []byte("k"), kind: CellValue, sibs: []sibling{{val: []byte("v"), tip: tip{0, 1}, tag: TagReg}}}
	if err := r.Load(r.cellRecord(c)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a write of a free number: %v", err)
	}
}
