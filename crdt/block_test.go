package crdt

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// blockOf reads a whole block.
func blockOf(t testing.TB, r *Region, key string) []byte {
	t.Helper()
	v := r.View(testNow)
	n, _, err := v.BlockLen(key)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, n)
	if n > 0 {
		if _, err := v.BlockRead(key, 0, buf); err != nil {
			t.Fatal(err)
		}
	}
	return buf
}

// writeBlock is a transaction of one write.
func writeBlock(t testing.TB, r *Region, key string, offset int64, data string) {
	t.Helper()
	update(t, r, func(tx *Tx) error { return tx.BlockWrite(key, offset, []byte(data)) })
}

func alloc(t testing.TB, r *Region, key string, size int64) {
	t.Helper()
	update(t, r, func(tx *Tx) error { _, err := tx.BlockAlloc(key, size); return err })
}

// TestBlockIsASlice drives a block of one replica beside a slice, through restarts from its durable image.
func TestBlockIsASlice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 51))
		r := newTestRegion(1)
		want := make([]byte, 5*PageBytes+77)
		alloc(t, r, "b", int64(len(want)))
		var image []Record
		for range 40 {
			at := rng.IntN(len(want))
			data := make([]byte, rng.IntN(min(len(want)-at, 2*PageBytes)+1))
			if rng.IntN(4) > 0 { // the rest are zeros
				for i := range data {
					data[i] = byte(rng.IntN(3))
				}
			}
			update(t, r, func(tx *Tx) error { return tx.BlockWrite("b", int64(at), data) })
			copy(want[at:], data)
			if rng.IntN(8) == 0 {
				want = append(want, make([]byte, rng.IntN(PageBytes))...)
				alloc(t, r, "b", int64(len(want)))
			}
			image = append(image, r.TakeDirty()...)
			from := rng.IntN(len(want) + 1)
			part := make([]byte, rng.IntN(len(want)+9))
			n, err := r.View(testNow).BlockRead("b", int64(from), part)
			if err != nil || !bytes.Equal(part[:n], want[from:min(len(want), from+len(part))]) {
				t.Fatalf("seed %d: %d bytes from %d, %v", seed, n, from, err)
			}
		}
		mustAudit(t, r)
		if got := blockOf(t, loaded(t, image), "b"); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: the durable image reads otherwise", seed)
		}
	}
}

// loaded makes a region of everything that TakeDirty gave, the last record of each key.
func loaded(t testing.TB, recs []Record) *Region {
	t.Helper()
	last := map[string]Record{}
	for _, rec := range recs {
		last[string(rec.Key)] = rec
	}
	r := newTestRegion(9)
	for _, key := range sortedKeysOf(last) {
		if rec := last[key]; rec.Value != nil {
			if err := r.Load(rec); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.Loaded(testNow)
	mustAudit(t, r)
	return r
}

// TestBlockMergesByPage: writes to different pages both survive; of those to one the last shows and the other is its sibling, until a
// write to that page covers both. Nobody's length is cut.
func TestBlockMergesByPage(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	alloc(t, a, "b", 3*PageBytes)
	writeBlock(t, a, "b", 0, "shared")
	pushTo(t, a, b)
	writeBlock(t, a, "b", PageBytes-1, "aa") // pages 0 and 1
	writeBlock(t, b, "b", 2*PageBytes, "bb")
	writeBlock(t, b, "b", 0, "SH") // page 0, later
	alloc(t, b, "b", 4*PageBytes)
	pullAll(t, a, b, 1<<20)
	pullAll(t, b, a, 1<<20)
	mustAudit(t, a, b)
	got := blockOf(t, a, "b")
	if !bytes.Equal(got, blockOf(t, b, "b")) || len(got) != 4*PageBytes {
		t.Fatalf("the replicas differ, or the length is %d", len(got))
	}
	if got[PageBytes] != 'a' || string(got[2*PageBytes:][:2]) != "bb" {
		t.Error("a write to a page that only one side wrote is lost")
	}
	v := a.View(testNow)
	all := v.BlockSiblings("b", PageBytes-1)
	info, _, _ := v.BlockInfo("b")
	if len(all) != 2 || info.Conflicts != 1 || info.Pages != 3 || !bytes.Equal(all[0].Value, bytes.TrimRight(got[:PageBytes], "\x00")) {
		t.Fatalf("%d siblings, %+v", len(all), info)
	}
	writeBlock(t, a, "b", 5, "x")
	pushTo(t, a, b)
	if len(b.View(testNow).BlockSiblings("b", 0)) != 1 {
		t.Error("a later write does not settle the page")
	}
	mustAudit(t, a, b)
}

// TestBlockWriteBesideFree: what is written while the block is freed elsewhere stays, as long as the block was, and nothing else does.
func TestBlockWriteBesideFree(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	alloc(t, a, "b", 3*PageBytes)
	for page := range int64(3) {
		writeBlock(t, a, "b", page*PageBytes, "old")
	}
	pullAll(t, b, a, 1<<20)
	update(t, a, func(tx *Tx) error { tx.Del("b"); return nil })
	writeBlock(t, b, "b", PageBytes+1, "new")
	pullAll(t, a, b, 1<<20)
	pullAll(t, b, a, 1<<20)
	want := make([]byte, 3*PageBytes)
	copy(want[PageBytes:], "onew") // the page as it was when it was written
	for _, r := range []*Region{a, b} {
		if got := blockOf(t, r, "b"); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, beginning with %q", len(got), bytes.TrimRight(got[PageBytes:], "\x00"))
		}
	}
	update(t, a, func(tx *Tx) error { tx.Del("b"); return nil })
	pushTo(t, a, b)
	if _, ok, _ := b.View(testNow).BlockLen("b"); ok || b.Siblings() != 0 {
		t.Error("freed, and something is left")
	}
	mustAudit(t, a, b)
}

func TestBlockRefuses(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error {
		tx.Set("s", nil, false)
		for _, c := range []struct {
			err  error
			want error
		}{
			{second(tx.BlockAlloc("b", MaxBlockBytes+1)), ErrOutside},
			{second(tx.BlockAlloc("b", -1)), ErrOutside},
			{second(tx.BlockAlloc("s", 1)), ErrWrongType},
			{tx.BlockWrite("b", 0, []byte("x")), ErrNoBlock},
			{tx.BlockWrite("s", 0, []byte("x")), ErrWrongType},
			{second(tx.BlockAlloc("b", 10)), nil},
			{tx.BlockWrite("b", 9, []byte("xx")), ErrOutside},
			{tx.BlockWrite("b", -1, []byte("x")), ErrOutside},
			{tx.BlockWrite("b", 1<<62, []byte("x")), ErrOutside},
			{tx.BlockWrite("b", 0, make([]byte, MaxValueBytes+1)), ErrTooLarge},
			{second(tx.BlockRead("b", 11, nil)), ErrOutside},
			{second(tx.BlockRead("b", -1, nil)), ErrOutside},
			{second(tx.BlockRead("none", 0, nil)), ErrNoBlock},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%v, want %v", c.err, c.want)
			}
		}
		return nil
	})
	mustAudit(t, r)
}

func second[T any](_ T, err error) error { return err }

// TestBlockIsSparse: a block as large as may be costs nothing where nobody wrote, and is written to at its end.
func TestBlockIsSparse(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	alloc(t, a, "b", MaxBlockBytes)
	writeBlock(t, a, "b", MaxBlockBytes-3, "end")
	pullAll(t, b, a, 1<<20)
	buf := make([]byte, 10)
	if n, err := b.View(testNow).BlockRead("b", MaxBlockBytes-5, buf); err != nil || string(buf[:n]) != "\x00\x00end" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	if info, _, _ := b.View(testNow).BlockInfo("b"); info != (BlockInfo{MaxBlockBytes, 1, PageBytes, 0}) || b.InUse() > 3*PageBytes {
		t.Errorf("%+v, and %d bytes in use", info, b.InUse())
	}
}

// TestBlockOf64MiB: a value far beyond MaxValueBytes is replicated by pushes, by a pull and through the durable image, as a block.
func TestBlockOf64MiB(t *testing.T) {
	t.Parallel()
	const size, step = 64 << 20, MaxValueBytes
	a, b, c := newTestRegion(1), NewRegion(Config{Name: "t", Self: testOrigin(2)}), NewRegion(Config{Name: "t", Self: testOrigin(3)})
	a.store.slabs.poison = false
	alloc(t, a, "b", size)
	data := make([]byte, step)
	for at := int64(0); at < size; at += step {
		for i := 0; i < step; i += 64 {
			data[i] = byte(at>>20) + byte(i>>12) | 1
		}
		update(t, a, func(tx *Tx) error { return tx.BlockWrite("b", at, data) })
		for _, msg := range a.TakePush() {
			if len(msg) > MaxValueBytes {
				t.Fatalf("a push of %d bytes", len(msg))
			}
			if _, err := b.Push(msg, testNow); err != nil {
				t.Fatal(err)
			}
		}
		for _, rec := range a.TakeDirty() {
			if len(rec.Value) > 2*PageBytes {
				t.Fatalf("a record of %d bytes", len(rec.Value))
			}
		}
	}
	pullAll(t, c, a, 1<<20)
	for name, r := range map[string]*Region{"pushes": b, "a pull": c} {
		if r.Digest() != a.Digest() {
			t.Errorf("%s brought something else", name)
		}
	}
	got, want := make([]byte, step), make([]byte, step)
	for at := int64(0); at < size; at += 7 * step {
		_, _ = a.View(testNow).BlockRead("b", at, want)
		if n, err := c.View(testNow).BlockRead("b", at, got); n != step || err != nil || !bytes.Equal(got, want) || got[0] == 0 {
			t.Fatalf("at %d: %d bytes, %v", at, n, err)
		}
	}
}

// FuzzPage: the names of pages and the registers of lengths, from wherever.
func FuzzPage(f *testing.F) {
	f.Add([]byte(pageName(0)), encodeLength(0))
	f.Add([]byte(pageName(MaxBlockBytes/PageBytes-1)), encodeLength(MaxBlockBytes))
	f.Add([]byte{0xff, 1, 2, 3, 4, 5, 6, 7, 8}, encodeLength(-1))
	f.Fuzz(func(t *testing.T, name, length []byte) {
		if page, ok := pageOf(name); ok && (page < 0 || pageName(page) != string(name)) {
			t.Fatalf("%x is page %d, whose name is %x", name, page, pageName(page))
		}
		if n := decodeLength(length); n < 0 || n > MaxBlockBytes {
			t.Fatalf("%x is a length of %d", length, n)
		}
	})
}
