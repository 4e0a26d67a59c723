package crdt

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func fieldsOf(text string) [][]byte { return [][]byte{[]byte("f"), []byte(text)} }

// streamOf lists a stream: id and fields of each entry.
func streamOf(v *View, key string) (out []string) {
	_ = v.StreamEach(key, 0, false, func(id StreamID, fields [][]byte) bool {
		out = append(out, entryText(id, fields))
		return true
	})
	return out
}

func entryText(id StreamID, fields [][]byte) string {
	return fmt.Sprintf("%v=%s", id, bytes.Join(fields, []byte{','}))
}

// naiveStream is a stream as Redis has it.
type naiveStream struct {
	ids   []StreamID
	texts []string
	head  StreamHead
}

func (n *naiveStream) all() (out []string) {
	for i, id := range n.ids {
		out = append(out, entryText(id, fieldsOf(n.texts[i])))
	}
	return out
}

func (n *naiveStream) cut(from, to int) {
	n.ids, n.texts = slices.Delete(n.ids, from, to), slices.Delete(n.texts, from, to)
}

// step does one random operation on both.
func (n *naiveStream) step(t *testing.T, rng *rand.Rand, tx *Tx) {
	t.Helper()
	some := func() StreamID {
		if len(n.ids) > 0 && rng.IntN(4) > 0 {
			return n.ids[rng.IntN(len(n.ids))]
		}
		return StreamID{uint64(rng.IntN(50)), uint64(rng.IntN(300))}
	}
	switch rng.IntN(12) {
	case 0:
		ids := []StreamID{some(), some()}
		want := 0
		for _, id := range ids {
			if i := slices.Index(n.ids, id); i >= 0 {
				n.cut(i, i+1)
				want++
				if id.Compare(n.head.Removed) > 0 {
					n.head.Removed = id
				}
			}
		}
		if got, err := tx.StreamRemove("s", ids...); got != want || err != nil {
			t.Fatalf("removing %v: %d %v, want %d", ids, got, err, want)
		}
	case 1:
		k := rng.IntN(4)
		if rng.IntN(6) == 0 {
			k = len(n.ids) + rng.IntN(2)
		}
		want := min(k, len(n.ids))
		if got, err := tx.StreamTrim("s", k); got != want || err != nil {
			t.Fatalf("trimming %d: %d %v", k, got, err)
		}
		n.cut(0, want)
	case 2:
		h := StreamHead{StreamID{n.head.Last.MS + uint64(rng.IntN(2)), n.head.Last.Seq}, n.head.Removed, n.head.Added + uint64(rng.IntN(3))}
		if err := tx.StreamSet("s", h); err == nil {
			n.head = h
		} else if n.head != (StreamHead{}) {
			t.Fatal(err)
		}
	case 3:
		if len(n.ids) > 0 {
			low, _ := n.ids[len(n.ids)-1].Prev()
			if err := tx.StreamSet("s", StreamHead{Last: low}); !errors.Is(err, ErrStreamID) {
				t.Fatal(err)
			}
		}
	default:
		id := n.head.Last
		id.Seq += uint64(rng.IntN(300))
		if rng.IntN(4) == 0 {
			id = StreamID{id.MS + 1, uint64(rng.IntN(2))}
		}
		text := fmt.Sprint(rng.IntN(1000))
		err := tx.StreamAdd("s", id, fieldsOf(text))
		if id.Compare(n.head.Last) <= 0 {
			if !errors.Is(err, ErrStreamID) {
				t.Fatalf("adding %v to %+v: %v", id, n.head, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		n.ids, n.texts = append(n.ids, id), append(n.texts, text)
		n.head.Last, n.head.Added = id, n.head.Added+1
	}
}

// TestStreamIsALog drives a stream of one replica beside a naive one, through its durable image too.
func TestStreamIsALog(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 41))
		r, n := newTestRegion(1), &naiveStream{}
		for round := range 40 {
			update(t, r, func(tx *Tx) error {
				for range 1 + rng.IntN(30) {
					n.step(t, rng, tx)
				}
				return nil
			})
			if rng.IntN(6) == 0 {
				r = restarted(t, r, testOrigin(2+round))
			}
			mustAudit(t, r)
			v := r.View(testNow)
			if got := streamOf(v, "s"); !slices.Equal(got, n.all()) {
				t.Fatalf("seed %d: %v, want %v", seed, got, n.all())
			}
			if h, _, err := v.StreamHead("s"); h != n.head || err != nil {
				t.Fatalf("seed %d: %+v %v, want %+v", seed, h, err, n.head)
			}
			if k, _ := v.StreamLen("s"); k != len(n.ids) {
				t.Fatal(k, len(n.ids))
			}
			id := StreamID{n.head.Last.MS / 2, uint64(rng.IntN(300))}
			want := bisect(len(n.ids), func(i int) bool { return n.ids[i].Compare(id) < 0 })
			if k, _ := v.StreamRank("s", id); k != want {
				t.Fatalf("%d are below %v, want %d of %v", k, id, want, n.ids)
			}
			if rng.IntN(8) == 0 {
				update(t, r, func(tx *Tx) error { tx.Del("s"); return nil })
				n = &naiveStream{}
			}
		}
	}
}

// TestStreamOfTwo: entries of both sides stay, also those of one id, in one order; a removal takes what it has seen.
func TestStreamOfTwo(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	add := func(r *Region, id StreamID, text string) {
		t.Helper()
		update(t, r, func(tx *Tx) error { return tx.StreamAdd("s", id, fieldsOf(text)) })
	}
	meet := func() {
		t.Helper()
		pullAll(t, a, b, 1<<16)
		pullAll(t, b, a, 1<<16)
		mustAudit(t, a, b)
		if state(a) != state(b) || !slices.Equal(streamOf(a.View(testNow), "s"), streamOf(b.View(testNow), "s")) {
			t.Fatal("replicas differ")
		}
	}
	add(a, StreamID{5, 1}, "a")
	add(b, StreamID{5, 1}, "b")
	add(a, StreamID{9, 0}, "late of a")
	add(b, StreamID{7, 0}, "late of b")
	meet()
	v := a.View(testNow)
	if got := streamOf(v, "s"); len(got) != 4 || got[2] != "7-0=f,late of b" || got[3] != "9-0=f,late of a" || got[0] == got[1] {
		t.Fatal(got)
	}
	if h, ok, _ := v.StreamHead("s"); !ok || h != (StreamHead{Last: StreamID{9, 0}, Added: 4}) {
		t.Fatalf("%+v", h)
	}
	update(t, a, func(tx *Tx) error {
		if n, err := tx.StreamRemove("s", StreamID{5, 1}, StreamID{5, 1}, StreamID{6, 6}); n != 2 || err != nil {
			t.Error(n, err)
		}
		return nil
	})
	add(b, StreamID{9, 1}, "concurrent")
	meet()
	if h, _, _ := b.View(testNow).StreamHead("s"); h != (StreamHead{Last: StreamID{9, 1}, Removed: StreamID{5, 1}, Added: 5}) {
		t.Fatalf("%+v", h)
	}
	// Whoever removes the last entry leaves word of its id; and DEL beside an addition leaves the addition.
	update(t, a, func(tx *Tx) error { _, err := tx.StreamRemove("s", StreamID{9, 1}); return err })
	meet()
	update(t, b, func(tx *Tx) error {
		if err := tx.StreamAdd("s", StreamID{9, 1}, fieldsOf("again")); !errors.Is(err, ErrStreamID) {
			t.Error(err)
		}
		tx.Del("s")
		return nil
	})
	add(a, StreamID{10, 0}, "stays")
	meet()
	if got := streamOf(b.View(testNow), "s"); !slices.Equal(got, []string{"10-0=f,stays"}) {
		t.Fatal(got)
	}
}

// TestStreamEmptyStays: a stream without entries is one, with its expiry, and knows its last id.
func TestStreamEmptyStays(t *testing.T) {
	t.Parallel()
	for n := 1; n < 6; n++ { // few are removed one by one
		r := newTestRegion(1)
		update(t, r, func(tx *Tx) error {
			for i := range n {
				if err := tx.StreamAdd("s", StreamID{1, uint64(1 + i)}, fieldsOf("x")); err != nil {
					return err
				}
			}
			tx.Expire("s", testNow+1000)
			_, err := tx.StreamTrim("s", n)
			return err
		})
		mustAudit(t, r)
		v := r.View(testNow)
		h, ok, _ := v.StreamHead("s")
		if at, _ := v.ExpireAt("s"); !ok || h.Last != (StreamID{1, uint64(n)}) || h.Added != uint64(n) || at != testNow+1000 || v.Kind("s") != KindStream {
			t.Errorf("of %d: %+v %v, expires %d, %v", n, h, ok, at, v.Kind("s"))
		}
	}
}

func TestStreamIDs(t *testing.T) {
	t.Parallel()
	r, other := newTestRegion(1), newTestRegion(2)
	next := func(r *Region, now int64) (id StreamID, err error) {
		t.Helper()
		e := r.Update(now, func(tx *Tx) error {
			id, err = tx.StreamAppend("s", fieldsOf("x"))
			return nil
		})
		return id, errors.Join(err, e)
	}
	last := StreamID{}
	for i, now := range []int64{1000, 1000, 1000, 5, 1001, -7, 1001} {
		id, err := next(r, now)
		if err != nil || id.Compare(last) <= 0 || id.MS != []uint64{1000, 1000, 1000, 1000, 1001, 1001, 1001}[i] {
			t.Fatalf("at %d: %v behind %v, %v", now, id, last, err)
		}
		last = id
	}
	if mine, _ := next(other, 1000); mine.Seq&(1<<streamTag-1) == last.Seq&(1<<streamTag-1) {
		t.Error("two nodes would take one id:", mine, last)
	}
	set := func(id StreamID) {
		update(t, r, func(tx *Tx) error { return tx.StreamSet("s", StreamHead{Last: id}) })
	}
	set(StreamID{2000, math.MaxUint64})
	if id, err := next(r, 1000); id.MS != 2001 || err != nil {
		t.Error(id, err)
	}
	set(StreamIDMax)
	if id, err := next(r, 1000); !errors.Is(err, ErrStreamFull) {
		t.Error(id, err)
	}
	for _, id := range []StreamID{{}, {0, math.MaxUint64}, {7, 0}, {7, 7}, StreamIDMax} {
		if again, err := ParseStreamID(id.String()); again != id || err != nil {
			t.Error(id, again, err)
		}
		up, okUp := id.Next()
		if back, ok := up.Prev(); okUp && (!ok || back != id || up.Compare(id) <= 0) {
			t.Error(id, up, back)
		}
		if okUp != (id != StreamIDMax) {
			t.Error(id, okUp)
		}
		if _, ok := id.Prev(); ok != (id != StreamID{}) {
			t.Error(id, ok)
		}
	}
}

func TestParseStreamIDRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "1", "-", "1-", "-1", "1-2-3", "1--2", "x-1", "18446744073709551616-0", " 1-1"} {
		if id, err := ParseStreamID(text); !errors.Is(err, ErrNotStreamID) {
			t.Errorf("%q reads as %v, %v", text, id, err)
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error {
		tx.Set("k", []byte("v"), false)
		if err := tx.StreamAdd("k", StreamID{1, 1}, nil); !errors.Is(err, ErrWrongType) {
			t.Error(err)
		}
		if _, err := tx.StreamAppend("k", nil); !errors.Is(err, ErrWrongType) {
			t.Error(err)
		}
		if err := tx.StreamAdd("s", StreamID{1, 1}, fieldsOf(strings.Repeat("x", MaxValueBytes))); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		if err := tx.StreamSet("s", StreamHead{}); !errors.Is(err, ErrNoStream) {
			t.Error(err)
		}
		if n, err := tx.StreamRemove("s", StreamID{1, 1}); n != 0 || err != nil {
			t.Error(n, err)
		}
		if n, err := tx.StreamTrim("s", 3); n != 0 || err != nil {
			t.Error(n, err)
		}
		return nil
	})
	if k := r.View(testNow).Kind("s"); k != KindNone {
		t.Error(k)
	}
}

// streamReader reads on by cursor.
type streamReader struct {
	at  StreamCursor
	had map[string]int
}

// read has the reader take up to most entries, at times by a View that keeps no order, and tells how many there were.
func (x *streamReader) read(t *testing.T, r *Region, most int, writing bool) (n int) {
	t.Helper()
	take := func(v *View) {
		at, err := v.StreamRead("s", x.at, most, func(id StreamID, fields [][]byte) bool {
			x.had[entryText(id, fields)]++
			n++
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		x.at = at
	}
	if writing {
		update(t, r, func(tx *Tx) error { take(&tx.View); return nil })
		return n
	}
	v := r.View(testNow)
	take(v)
	if v.WantsOrders() {
		r.KeepOrders(v)
	}
	return n
}

// TestStreamReadersMissNothing: whatever comes from wherever in whatever order, a reader gets each entry once.
func TestStreamReadersMissNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 43))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		readers := make([]streamReader, 4)
		for i := range readers {
			readers[i].had = map[string]int{}
		}
		total := 0
		burst := []int{3, 40, 400}[seed%3]
		for range 40 {
			i := rng.IntN(3)
			switch r := rs[i]; rng.IntN(3) {
			case 0:
				for range 1 + rng.IntN(burst) {
					now := testNow + int64(rng.IntN(1000))
					if err := r.Update(now, func(tx *Tx) error {
						total++
						_, err := tx.StreamAppend("s", fieldsOf(fmt.Sprint(total)))
						return err
					}); err != nil {
						t.Fatal(err)
					}
				}
				if msgs := r.TakePush(); rng.IntN(2) == 0 {
					for _, msg := range msgs {
						_, _ = rs[rng.IntN(3)].Push(msg, testNow)
					}
				}
			case 1:
				pullAll(t, r, rs[rng.IntN(3)], 1<<uint(8+rng.IntN(8)))
			default:
				readers[rng.IntN(len(readers))].read(t, rs[0], rng.IntN(1+burst), rng.IntN(2) == 0)
			}
		}
		pullAll(t, rs[0], rs[1], 1<<16)
		pullAll(t, rs[0], rs[2], 1<<16)
		mustAudit(t, rs[0])
		all := streamOf(rs[0].View(testNow), "s")
		if len(all) != total {
			t.Fatalf("seed %d: %d entries of %d", seed, len(all), total)
		}
		for i := range readers {
			for readers[i].read(t, rs[0], 1+rng.IntN(1+burst), rng.IntN(2) == 0) > 0 {
			}
			for _, x := range all {
				if readers[i].had[x] != 1 {
					t.Fatalf("seed %d: a reader had %s %d times", seed, x, readers[i].had[x])
				}
			}
		}
		mustAudit(t, rs[0])
	}
}

// TestStreamRounds: what came late comes next, each round in the order of ids, and an end is no end for ever.
func TestStreamRounds(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	put := func(r *Region, ms ...uint64) {
		t.Helper()
		update(t, r, func(tx *Tx) error {
			for _, x := range ms {
				if err := tx.StreamPut("s", StreamID{x, 0}, nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var at StreamCursor
	read := func(most int) (out []uint64) {
		t.Helper()
		var err error
		at, err = a.View(testNow).StreamRead("s", at, most, func(id StreamID, _ [][]byte) bool { out = append(out, id.MS); return true })
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := func(got []uint64, want ...uint64) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
	}
	put(a, 10, 30, 50)
	want(read(2), 10, 30)
	put(b, 20, 40, 60)
	pullAll(t, a, b, 1<<16)
	want(read(2), 50, 20) // what is left of the round, then the next
	want(read(0), 40, 60)
	want(read(0))
	at = a.View(testNow).StreamFrom(StreamID{40, 0})
	want(read(0), 50, 60)
	at = a.View(testNow).StreamEnd(StreamID{60, 0})
	want(read(0))
	put(b, 1)
	pullAll(t, a, b, 1<<16)
	want(read(0), 1)
	put(b, 3) // of one id, and of a round of its own: they come together
	put(a, 3)
	pullAll(t, a, b, 1<<16)
	at = StreamCursor{}
	want(read(2), 1, 3, 3)
	// What is written here below what was read is of another stream.
	at = a.View(testNow).StreamEnd(StreamID{60, 0})
	update(t, a, func(tx *Tx) error { tx.Del("s"); return nil })
	put(a, 2, 60, 61)
	put(b, 4)
	pullAll(t, a, b, 1<<16)
	want(read(0), 4, 61)
	put(a, 40, 50)
	// Of another life: arrivals count anew, so it is read by id.
	at = StreamCursor{1000, 1001, StreamID{40, 0}.beyond(), StreamID{40, 0}}
	want(read(0), 50, 60, 61)
}

// TestStreamAway: fields that leave memory are read back; ids and the head need none of them.
func TestStreamAway(t *testing.T) {
	t.Parallel()
	d := newDisk()
	r := d.open(t, 1, false)
	update(t, r, func(tx *Tx) error {
		for i := range 100 {
			if err := tx.StreamAdd("s", StreamID{7, uint64(i + 1)}, fieldsOf(string(long(fmt.Sprint(i))))); err != nil {
				return err
			}
		}
		_, err := tx.StreamRemove("s", StreamID{7, 100})
		return err
	})
	before := streamOf(r.View(testNow), "s")
	reader := streamReader{had: map[string]int{}}
	reader.read(t, r, 40, true)
	if n := d.evictAll(t, r); n != 99 {
		t.Fatal(n, "left")
	}
	for next := r.Sweep(0, 10); next != 0; next = r.Sweep(next, 10) { // records move, and keep their places
	}
	if n := reader.read(t, r, 0, true); n != 59 || reader.read(t, r, 0, true) != 0 {
		t.Error(n, "were read on")
	}
	mustAudit(t, r)
	d.reads = 0
	v := r.View(testNow)
	h, _, _ := v.StreamHead("s")
	k, _ := v.StreamRank("s", StreamID{7, 50})
	if h.Last.Seq != 100 || h.Added != 100 || k != 49 || d.reads > 0 {
		t.Error(h, k, d.reads)
	}
	if got := streamOf(v, "s"); !slices.Equal(got, before) || d.reads != 99 {
		t.Error(len(got), d.reads)
	}
	away := d.open(t, 2, true)
	mustAudit(t, away)
	if got := streamOf(away.View(testNow), "s"); !slices.Equal(got, before) {
		t.Error(got)
	}
	d.recs = map[string][]byte{}
	v = r.View(testNow)
	if _, err := v.StreamRead("s", StreamCursor{}, 0, func(StreamID, [][]byte) bool { return true }); !errors.Is(err, ErrUnreadable) {
		t.Error(err)
	}
	if err := v.StreamEach("s", 0, false, func(StreamID, [][]byte) bool { return true }); !errors.Is(err, ErrUnreadable) || v.Err() == nil {
		t.Error(err)
	}
}

// TestStreamWritesLittle: an addition is one write, and so is each entry that a trim takes.
func TestStreamWritesLittle(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	for i := range 200 {
		before := r.LocalWrites()
		update(t, r, func(tx *Tx) error {
			if err := tx.StreamAdd("s", StreamID{1, uint64(i + 1)}, fieldsOf("x")); err != nil {
				return err
			}
			n, _ := tx.StreamLen("s")
			_, err := tx.StreamTrim("s", n-50)
			return err
		})
		want := uint64(1)
		if i >= 50 {
			want = 2
		}
		if n := r.LocalWrites() - before; n != want {
			t.Fatalf("addition %d is %d writes", i, n)
		}
	}
}

// FuzzStream: names and registers of streams, from wherever.
func FuzzStream(f *testing.F) {
	name := entryName{StreamID{1_700_000_000_000, 3}, 1 << 60, 77}
	f.Add(name.append(nil), StreamHead{StreamID{1, 2}, StreamID{3, 4}, 5}.encode(), appendFields(nil, fieldsOf("v")))
	f.Add(entryName{StreamIDMax, math.MaxUint64, math.MaxUint64}.append(nil), []byte{0xff}, []byte{1})
	f.Add([]byte{0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0}, []byte{}, []byte{0, 0})
	f.Fuzz(func(t *testing.T, name, head, fields []byte) {
		if n, ok := takeEntryName(name); ok {
			if !bytes.Equal(n.append(nil), name) {
				t.Fatalf("%x has two forms", name)
			}
			if n.writer != math.MaxUint64 && string(name) > n.id.beyond() || !bytes.HasPrefix(name, n.id.prefix(nil)) || entryMS(name) != n.id.MS {
				t.Fatalf("%x is out of place", name)
			}
			if next, ok := n.id.Next(); ok && (bytes.Compare(next.prefix(nil), name) <= 0 || n.writer != math.MaxUint64 && string(next.prefix(nil)) <= n.id.beyond()) {
				t.Fatalf("%v is not behind %x", next, name)
			}
		}
		if h := decodeStreamHead(head); decodeStreamHead(h.encode()) != h {
			t.Fatalf("%x reads as %+v", head, h)
		}
		if x := takeFields(fields, nil); x != nil && len(takeFields(appendFields(nil, x), nil)) != len(x) {
			t.Fatalf("%x reads as %q", fields, x)
		}
	})
}

func TestStreamsFromAHostilePeer(t *testing.T) {
	t.Parallel()
	x := testOrigin(50)
	for name, sub := range map[string]string{"no name": "", "a long one": "\x01\x01\x00\x01\x01\x01\x01\x01\x01\x01\x01\x00\x00", "two forms": "\x02\x00\x01\x00\x01\x01\x01\x01\x01\x01\x01\x01\x00"} {
		r := newTestRegion(1)
		f := &forge{}
		f.cell(CellEntry, "s", sub, cellTip{dot: Dot{x, 1}, form: tipValue, tag: TagReg})
		if err := r.NewReceiver().Merge(f.chunk(chunkLast, posMin, posMax, Context{x: {Base: 1}}, nil, nil), testNow); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		mustAudit(t, r)
	}
	// Registers that no version writes show as nothing, and do no harm.
	r := newTestRegion(1)
	f := &forge{}
	n := entryName{StreamID{5, 5}, 7, 1}
	f.cell(CellEntry, "s", string(n.append(nil)), cellTip{dot: Dot{x, 1}, form: tipValue, tag: TagReg, val: []byte{9}})
	f.cell(CellStream, "s", "", cellTip{dot: Dot{x, 2}, form: tipValue, tag: TagReg, val: []byte{0xff}})
	msg := f.chunk(chunkLast, posMin, posMax, Context{x: {Base: 2}}, nil, nil)
	if err := r.NewReceiver().Merge(msg, testNow); err != nil {
		f2 := &forge{} // by position the other goes first
		f2.cell(CellStream, "s", "", cellTip{dot: Dot{x, 2}, form: tipValue, tag: TagReg, val: []byte{0xff}})
		f2.cell(CellEntry, "s", string(n.append(nil)), cellTip{dot: Dot{x, 1}, form: tipValue, tag: TagReg, val: []byte{9}})
		r = newTestRegion(1)
		if err := r.NewReceiver().Merge(f2.chunk(chunkLast, posMin, posMax, Context{x: {Base: 2}}, nil, nil), testNow); err != nil {
			t.Fatal(err)
		}
	}
	mustAudit(t, r)
	if got := streamOf(r.View(testNow), "s"); !slices.Equal(got, []string{"5-5="}) {
		t.Error(got)
	}
	update(t, r, func(tx *Tx) error { return tx.StreamAdd("s", StreamID{5, 6}, fieldsOf("x")) })
}
