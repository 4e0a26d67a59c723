package crdt

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// block encodes simple cells and reads them back, sorted.
func block(t testing.TB, r *Region, cells []*cell, theirs Context) (msg []byte, read []cellState) {
	t.Helper()
	var table originTable
	msg = r.appendColumns(nil, &table, cells, theirs)
	d := decoder{b: msg}
	read = sortCells(d.columns(table.ids), hashKey{})
	if err := d.done(); err != nil {
		t.Fatal(err)
	}
	return msg, read
}

// listed is what a chunk's list says of the same cells.
func listed(t testing.TB, r *Region, cells []*cell, theirs Context) (msg []byte, read []cellState) {
	t.Helper()
	var table originTable
	for _, c := range cells {
		msg = r.appendCell(msg, &table, c, theirs)
	}
	d := decoder{b: msg}
	for range cells {
		read = append(read, d.cell(table.ids))
	}
	if err := d.done(); err != nil {
		t.Fatal(err)
	}
	return msg, read
}

// columnRegion is what three origins wrote, with cells of every kind and form, clocks that leapt, and names that are empty.
func columnRegion(t testing.TB, seed uint64) *Region {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
	for range 30 {
		r := rs[rng.IntN(3)]
		now := testNow + rng.Int64N(1<<rng.IntN(40))
		_ = r.Update(now, func(tx *Tx) error {
			key := fmt.Sprint("key", rng.IntN(20))[:rng.IntN(5)]
			for range rng.IntN(4) {
				sub := fmt.Sprint(rng.IntN(100))[:rng.IntN(2)]
				_, _ = tx.SetAdd(key, sub)
				_, _ = tx.MapSet(key+"m", sub, make([]byte, rng.IntN(20)))
			}
			tx.Set(key+"v", make([]byte, rng.IntN(200)), false)
			tx.Expire(key+"v", now+1000)
			if rng.IntN(4) == 0 {
				tx.Del(fmt.Sprint("key", rng.IntN(20)))
			}
			return nil
		})
		scribble(rng, r, 3)
		pullAll(t, rs[rng.IntN(3)], r, 1<<20)
	}
	return rs[0]
}

func TestColumnsSayWhatTheListSays(t *testing.T) {
	cells := 0
	for seed := range uint64(60) {
		r := columnRegion(t, seed)
		all := r.cellsFrom(posMin, posMax)
		slices.SortFunc(all, compareCells)
		simple, others := splitSimple(all)
		if len(simple)+len(others) != len(all) {
			t.Fatalf("seed %d: %d and %d of %d cells", seed, len(simple), len(others), len(all))
		}
		cells += len(simple)
		theirs := r.Context()
		for id, runs := range theirs {
			theirs[id] = Runs{Base: runs.Base / 2}
		}
		msg, got := block(t, r, simple, theirs)
		list, want := listed(t, r, simple, theirs)
		if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: read\n%v of\n%v", seed, got, want)
		}
		if len(msg) > len(list)+40 {
			t.Errorf("seed %d: %d bytes, and the list has %d", seed, len(msg), len(list))
		}
		// The order in which cells come does not show.
		slices.Reverse(simple)
		if again, _ := block(t, r, simple, theirs); !bytes.Equal(again, msg) {
			t.Fatalf("seed %d: the same cells make another block", seed)
		}
	}
	if cells < 600 {
		t.Fatalf("%d cells: the regions are nearly empty", cells)
	}
}

// A pull in chunks names the cells of each by their place, whichever form they have, and twice the same is seen.
func TestColumnsTwiceTheSameCell(t *testing.T) {
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error { tx.Set("a", nil, false); tx.Set("b", nil, false); return nil })
	cells := r.cellsFrom(posMin, posMax)
	_, read := block(t, r, append(cells, cells...)[:2], nil)
	c := chunk{lo: posMin, hi: posMax, cells: read}
	if err := c.check(hashKey{}); err != nil {
		t.Fatal(err)
	}
	c.cells = sortCells(append(read, read[0]), hashKey{})
	if err := c.check(hashKey{}); err == nil {
		t.Fatal("one cell twice was taken")
	}
}

// A cloned origin may have written one dot to two cells. That must not keep a replica from being pulled.
func TestColumnsOneDotInTwoCells(t *testing.T) {
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error { tx.Set("a", nil, false); tx.Set("b", nil, false); return nil })
	cells := r.cellsFrom(posMin, posMax)
	cells[1].sibs[0].tip = cells[0].sibs[0].tip
	_, read := block(t, r, cells, nil)
	if _, want := listed(t, r, cells, nil); !reflect.DeepEqual(read, want) {
		t.Fatalf("read %v, want %v", read, want)
	}
}

func TestColumnsRefused(t *testing.T) {
	r := columnRegion(t, 5)
	simple, _ := splitSimple(r.cellsFrom(posMin, posMax))
	var table originTable
	good := r.appendColumns(nil, &table, simple, nil)
	for name, msg := range map[string][]byte{
		"many cells in few bytes": {0xff, 0xff, 3, 0, 0, 0},
		"more than the limit":     append([]byte{0x81, 0x80, 4}, make([]byte, 1<<16)...),
		"a cell too many":         append([]byte{good[0] + 1}, good[1:]...),
		"a cell too few":          append([]byte{good[0] - 1}, good[1:]...),
		"a column beyond the end": {1, 0x40},
	} {
		d := decoder{b: msg}
		got := d.columns(table.ids)
		wantTold(t, d.err)
		if d.err == nil || got != nil {
			t.Errorf("%s: taken", name)
		}
	}
	for n := range good {
		d := decoder{b: good[:n]}
		if d.columns(table.ids); d.err == nil {
			t.Fatalf("%d bytes of %d taken", n, len(good))
		}
	}
}

func FuzzColumns(f *testing.F) {
	ids := []Origin{testOrigin(1), testOrigin(2), testOrigin(3)}
	for seed := range uint64(4) {
		r := columnRegion(f, seed)
		simple, _ := splitSimple(r.cellsFrom(posMin, posMax))
		var table originTable
		f.Add(r.appendColumns(nil, &table, simple[:min(len(simple), 1<<seed)], nil))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		d := decoder{b: msg}
		cells := d.columns(ids)
		wantTold(t, d.err)
		if d.err != nil && cells != nil || len(cells) > columnsMax {
			t.Fatalf("%d cells, and %v", len(cells), d.err)
		}
		size := 0
		for i := range cells {
			s := &cells[i]
			tip := s.tips[0]
			named := s.kind == CellMember || s.kind == CellField
			if len(s.tips) != 1 || s.kind < CellValue || s.kind > CellExpiry || s.sub != "" && !named {
				t.Fatalf("a cell of kind %d, name %q, %d tips", s.kind, s.sub, len(s.tips))
			}
			if tip.form > tipValue || tip.dot.Seq == 0 || tip.dot.Seq > maxSeq || (tip.tag == TagRemove) == (tip.form == tipValue) {
				t.Fatalf("a tip %v of form %d, tag %d", tip.dot, tip.form, tip.tag)
			}
			size += len(s.sub) + len(tip.val)
		}
		if size > len(msg) {
			t.Fatalf("names and values of %d bytes in %d", size, len(msg))
		}
		if sorted := sortCells(cells, hashKey{}); len(sorted) != len(cells) || !slices.IsSortedFunc(sorted, func(a, b cellState) int { return a.pos(hashKey{}).compare(b.pos(hashKey{})) }) {
			t.Fatal("cells are out of order")
		}
	})
}

// pullShapes are ways to write n entries of 16 bytes of key and 100 random ones of value.
var pullShapes = []struct {
	name  string
	write func(t testing.TB, rng *rand.Rand, n int) *Region
}{
	{"at once", func(t testing.TB, rng *rand.Rand, n int) *Region {
		r := newTestRegion(1)
		update(t, r, func(tx *Tx) error { return writeSome(tx, rng, 0, n) })
		return r
	}},
	{"20 a millisecond", func(t testing.TB, rng *rand.Rand, n int) *Region {
		r := newTestRegion(1)
		for i := 0; i < n; i += 20 {
			_ = r.Update(testNow+int64(i), func(tx *Tx) error { return writeSome(tx, rng, i, i+20) })
		}
		return r
	}},
	{"one by one, in no order", func(t testing.TB, rng *rand.Rand, n int) *Region {
		r, now := newTestRegion(1), testNow
		for _, i := range rng.Perm(n) {
			now += rng.Int64N(100)
			_ = r.Update(now, func(tx *Tx) error { return writeSome(tx, rng, i, i+1) })
		}
		return r
	}},
	{"by 30 origins, one by one", func(t testing.TB, rng *rand.Rand, n int) *Region {
		var rs []*Region
		for i := range 30 {
			rs = append(rs, newTestRegion(i+1))
		}
		for i, at := range rng.Perm(n) {
			r := rs[rng.IntN(len(rs))]
			_ = r.Update(testNow+int64(i), func(tx *Tx) error { return writeSome(tx, rng, at, at+1) })
		}
		for _, r := range rs[1:] {
			pullAll(t, rs[0], r, 1<<20)
		}
		return rs[0]
	}},
}

func writeSome(tx *Tx, rng *rand.Rand, from, to int) error {
	for i := from; i < to; i++ {
		val := make([]byte, 100)
		for k := range val {
			val[k] = byte(rng.Uint32())
		}
		tx.Set(fmt.Sprintf("key-%012d", i), val, false)
	}
	return nil
}

// inChunks cuts cells where a pull does.
func inChunks(cells []*cell, max int) (out [][]*cell) {
	size, from := 0, 0
	for i, c := range cells {
		if size += c.size(); size >= max || i == len(cells)-1 {
			out = append(out, cells[from:i+1])
			size, from = 0, i+1
		}
	}
	return out
}

func deflated(t testing.TB, b []byte) int {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Len()
}

// TestColumnsSize holds what an entry costs beside its key and value.
func TestColumnsSize(t *testing.T) {
	const n = 20_000
	for i, shape := range pullShapes {
		r := shape.write(t, rand.New(rand.NewPCG(3, 3)), n)
		var size, small, list, smallList int
		for _, cells := range inChunks(r.cellsFrom(posMin, posMax), 256<<10) {
			msg, _ := block(t, r, cells, nil)
			old, _ := listed(t, r, cells, nil)
			size, list = size+len(msg), list+len(old)
			small, smallList = small+min(len(msg), deflated(t, msg)), smallList+min(len(old), deflated(t, old))
		}
		beside := func(x int) float64 { return float64(x)/n - 116 }
		t.Logf("%-26s %5.2f bytes an entry, %6.2f deflated; as a list %5.2f, %6.2f", shape.name, beside(size), beside(small), beside(list), beside(smallList))
		if limit := []float64{1.2, 3.2, 3.2, 3.2}[i]; beside(size) > limit {
			t.Errorf("%s: %.2f bytes an entry, want %.2f", shape.name, beside(size), limit)
		}
	}
}

func BenchmarkColumns(b *testing.B) {
	const n = 50_000
	r := pullShapes[0].write(b, rand.New(rand.NewPCG(3, 3)), n)
	cells := r.cellsFrom(posMin, posMax)
	var table originTable
	var msgs [][]byte
	for _, part := range inChunks(cells, 256<<10) {
		msgs = append(msgs, r.appendColumns(nil, &table, part, nil))
	}
	perCell := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/cell")
	}
	b.Run("append", func(b *testing.B) {
		var buf []byte
		for b.Loop() {
			for _, part := range inChunks(cells, 256<<10) {
				buf = r.appendColumns(buf[:0], &table, part, nil)
			}
		}
		perCell(b)
	})
	b.Run("appendList", func(b *testing.B) {
		var buf []byte
		for b.Loop() {
			buf = buf[:0]
			for _, c := range cells {
				buf = r.appendCell(buf, &table, c, nil)
			}
		}
		perCell(b)
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			for _, msg := range msgs {
				d := decoder{b: msg}
				if sortCells(d.columns(table.ids), hashKey{}); d.err != nil {
					b.Fatal(d.err)
				}
			}
		}
		perCell(b)
	})
	b.Run("decodeList", func(b *testing.B) {
		var buf []byte
		for _, c := range cells {
			buf = r.appendCell(buf, &table, c, nil)
		}
		for b.Loop() {
			d := decoder{b: buf}
			out := make([]cellState, 0, n)
			for range n {
				out = append(out, d.cell(table.ids))
			}
			if len(out) != n || d.err != nil {
				b.Fatal(d.err)
			}
		}
		perCell(b)
	})
}
