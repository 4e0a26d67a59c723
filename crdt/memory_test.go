package crdt

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestSlabsKeepWhatTheyAreGiven: allocations of all sizes neither overlap nor move, and what is freed is used again.
func TestSlabsKeepWhatTheyAreGiven(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 1))
	type held struct {
		ref  uint64
		want []byte
	}
	m := &slabs{poison: true}
	var all []held
	for i := range 20_000 {
		if rng.IntN(5) < 3 || len(all) == 0 {
			n := 1 + rng.IntN(1<<rng.IntN(17))
			ref, b := m.Alloc(n)
			if len(b) < n || ref == 0 || ref >= 1<<refBits || len(b) > n+n/8+slabGrain {
				t.Fatalf("%d bytes as %x for %d", len(b), ref, n)
			}
			for k := range b {
				b[k] = byte(i + k)
			}
			all = append(all, held{ref, bytes.Clone(b)})
			continue
		}
		k := rng.IntN(len(all))
		if !bytes.Equal(m.Bytes(all[k].ref), all[k].want) {
			t.Fatalf("%x was overwritten", all[k].ref)
		}
		m.Free(all[k].ref)
		all = slices.Delete(all, k, k+1)
	}
	for _, x := range all {
		m.Free(x.ref)
	}
	if limit := int64(slabSizes) << slabBitsMax; m.held > limit/8 {
		t.Errorf("%d bytes held for nothing", m.held)
	}
}

// TestDotIndexAgainstMap files and drops dots of all densities, in all orders, doubles included.
func TestDotIndexAgainstMap(t *testing.T) {
	t.Parallel()
	type dot struct {
		seq Seq
		ref uint64
	}
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 12))
		s := &store{mem: &slabs{poison: true}}
		var x dotIndex
		have := map[dot]bool{}
		var all []dot
		span, next, inOrder := int64(1)<<(4+rng.IntN(18)), Seq(0), rng.IntN(2) == 0
		for i := range 4000 {
			if grow := i%2000 < 1200; rng.IntN(10) < 7 == grow || len(all) == 0 {
				if next += Seq(1 + rng.IntN(3)); !inOrder {
					next = Seq(1 + rng.Int64N(span))
				}
				d := dot{next, 1 + rng.Uint64N(1<<20)}
				if !have[d] {
					have[d] = true
					all = append(all, d)
					x.add(s, d.seq, d.ref)
				}
			} else {
				k := rng.IntN(len(all))
				d := all[k]
				if rng.IntN(3) == 0 {
					to := dot{d.seq, 1 + rng.Uint64N(1<<20)}
					if have[to] {
						continue
					}
					x.move(s, d.seq, d.ref, to.ref)
					all[k], have[to] = to, true
				} else {
					x.drop(s, d.seq, d.ref)
					all = slices.Delete(all, k, k+1)
				}
				delete(have, d)
			}
			if i%100 == 0 {
				from, n, last := Seq(rng.Int64N(span)), 0, Seq(0)
				x.each(s, from, func(seq Seq, ref uint64) bool {
					if !have[dot{seq, ref}] || seq < last || seq < from {
						t.Fatalf("seed %d: %d:%x is not there, or out of order", seed, seq, ref)
					}
					n, last = n+1, seq
					return true
				})
				want := 0
				for _, d := range all {
					if d.seq >= from {
						want++
					}
				}
				if n != want || x.from(s, from) != want || x.n != len(all) {
					t.Fatalf("seed %d: %d from %d on, counted %d, want %d", seed, n, from, x.from(s, from), want)
				}
			}
		}
		if use := s.use[forCausal]; inOrder && int(use) > 16*len(all)+1024 {
			t.Errorf("seed %d: %d bytes for %d dots", seed, use, len(all))
		}
		for _, d := range all {
			x.drop(s, d.seq, d.ref)
		}
		if s.use[forCausal] != 0 || len(x.leaves) != 0 {
			t.Fatalf("seed %d: %d bytes left", seed, s.use[forCausal])
		}
	}
}

// TestReleaseGivesAllBack: what a region took of a Memory that others share, it gives back.
func TestReleaseGivesAllBack(t *testing.T) {
	t.Parallel()
	m := &slabs{poison: true}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		r := NewRegion(Config{Name: "t", Self: testOrigin(1), Memory: m})
		scribble(rng, r, 200)
		update(t, r, func(tx *Tx) error {
			for i := range rng.IntN(200) {
				_, _ = tx.SetAdd("many", fmt.Sprint(i))
			}
			return nil
		})
		mustAudit(t, r)
		if f := r.Memory(); f.Value <= 0 || f.Index <= 0 || f.Causal <= 0 || f.Total() < r.Bytes() {
			t.Errorf("%+v for %d bytes", f, r.Bytes())
		}
		r.Release()
	}
	for i := range m.chunks {
		if m.chunks[i].live > 0 {
			t.Fatalf("%d slots of %d bytes are left", m.chunks[i].live, m.chunks[i].size)
		}
	}
}

// TestHandlesOfAnEarlierEpoch: what was read before a write must not be written.
func TestHandlesOfAnEarlierEpoch(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error { tx.Set("a", []byte("1"), false); return nil })
	c := r.lookup("a").cell(CellValue, "")
	update(t, r, func(tx *Tx) error { tx.Set("b", []byte("2"), false); return nil })
	defer func() {
		if recover() == nil {
			t.Error("it was written")
		}
	}()
	r.change(c, func() {})
}

// TestUnknownKindsAndTags: cells and siblings of newer versions are kept as they came.
func TestUnknownKindsAndTags(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	org := r.intern(testOrigin(2))
	for i, kind := range []CellKind{7, 14, 15, 16, 200, 255} {
		for j, tag := range []Tag{6, 14, 15, 16, 255} {
			for _, stamp := range []HLC{0, 1<<48 - 1, hlcAt(testNow) | 9, ^HLC(0)} {
				c := r.upsert(fmt.Sprint("k", i), kind, fmt.Sprint("s", j, stamp))
				s := sibling{val: []byte("value"), hlc: stamp, tip: tip{org, Seq(1 + r.arrived)}, tag: tag}
				r.claim(s.tip)
				r.change(c, func() { r.addSibling(c, s) })
				got := r.lookup(fmt.Sprint("k", i)).cell(kind, fmt.Sprint("s", j, stamp))
				if got == nil || got.kind != kind || len(got.sibs) != 1 || got.sibs[0].tag != tag || got.sibs[0].hlc != stamp {
					t.Fatalf("kind %d, tag %d, stamp %x: %+v", kind, tag, uint64(stamp), got)
				}
			}
		}
	}
	mustAudit(t, r)
}

// TestViewsReadAtOnce: any number of views read while nothing is written. The race detector judges.
func TestViewsReadAtOnce(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	rng := rand.New(rand.NewPCG(4, 4))
	scribble(rng, r, 100)
	update(t, r, func(tx *Tx) error {
		for i := range 100 {
			tx.Set(fmt.Sprint("k", i), fmt.Append(nil, i), false)
			_, _ = tx.SetAdd("set", fmt.Sprint(i))
			_, _ = tx.MapIncr("map", fmt.Sprint(i%9), 1)
			_, _ = tx.Incr("n", 1)
		}
		tx.Expire("n", testNow+1000)
		return nil
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			v := r.View(testNow)
			for i := range 100 {
				if val, ok, err := v.Get(fmt.Sprint("k", i)); !ok || err != nil || string(val) != fmt.Sprint(i) {
					t.Errorf("k%d: %q, %v, %v", i, val, ok, err)
				}
				if is, _ := v.SetHas("set", fmt.Sprint(i)); !is {
					t.Errorf("%d is not in the set", i)
				}
				_, _, _ = v.MapGet("map", fmt.Sprint(i%9))
				_, _ = v.Int("n")
				_, _ = v.ExpireAt("n")
				_ = v.MapEach("map", func(string, []byte) bool { return true })
				v.Siblings("a")
			}
			for at := v.Scan(0, 7, func(string, Kind) {}); at != 0; at = v.Scan(at, 7, func(string, Kind) {}) {
			}
		})
	}
	wg.Wait()
}
