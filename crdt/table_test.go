package crdt

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// things is what a table files in these tests: nothing but hashes, by number.
type things struct {
	*store
	hashes []uint64
}

func newThings() *things {
	return &things{&store{mem: &slabs{poison: true}}, []uint64{0}}
}

func (x *things) hashOf(_ bool, ref uint64) uint64 { return x.hashes[ref] }

// add gives a new thing's number.
func (x *things) add(hash uint64) uint64 {
	x.hashes = append(x.hashes, hash)
	return uint64(len(x.hashes) - 1)
}

// TestTableAgainstSlice inserts and removes at random, with hashes that crowd at either end and collide.
func TestTableAgainstSlice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 6))
		var tab table
		host := newThings()
		var all []uint64
		crowd := func() uint64 {
			switch rng.IntN(4) {
			case 0:
				return ^uint64(0) - rng.Uint64N(8)
			case 1:
				return rng.Uint64N(8)
			}
			return rng.Uint64()
		}
		for i := range 1500 {
			if grow := i < 900; rng.IntN(10) < 7 == grow || len(all) == 0 {
				x := host.add(crowd())
				all = append(all, x)
				tab.insert(host, host.hashes[x], x)
			} else {
				j := rng.IntN(len(all))
				tab.remove(host, host.hashes[all[j]], all[j])
				all = slices.Delete(all, j, j+1)
			}
			if i%50 == 0 {
				checkTable(t, &tab, host, all, crowd())
			}
		}
		for _, x := range all {
			tab.remove(host, host.hashes[x], x)
		}
		if tab.n != 0 || tab.find(1, func(uint64) bool { return true }) != 0 {
			t.Fatalf("seed %d: %d left", seed, tab.n)
		}
		if host.use[forIndex] != 0 {
			t.Fatalf("seed %d: %d bytes left", seed, host.use[forIndex])
		}
	}
}

func checkTable(t *testing.T, tab *table, host *things, all []uint64, from uint64) {
	t.Helper()
	if tab.n != len(all) {
		t.Fatalf("%d items, want %d", tab.n, len(all))
	}
	want := map[uint64]bool{}
	for _, x := range all {
		if tab.find(host.hashes[x], func(y uint64) bool { return x == y }) != x {
			t.Fatalf("%x is not found", host.hashes[x])
		}
		if host.hashes[x] >= from {
			want[x] = true
		}
	}
	last := uint64(0)
	tab.ascend(from, func(x uint64) bool {
		h := host.hashes[x]
		if h < last || h>>refBits < from>>refBits || h >= from && !want[x] {
			t.Fatalf("ascend from %x gives %x after %x", from, h, last)
		}
		last = h
		delete(want, x)
		return true
	})
	if len(want) > 0 {
		t.Fatalf("ascend from %x leaves out %d", from, len(want))
	}
}

// TestDotIndexAgainstScan: the index finds the live tips that a context lacks, whatever was covered since.
func TestDotIndexAgainstScan(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 7))
	a, b := newTestRegion(1), newTestRegion(2)
	for range 300 {
		w, o := a, b
		if rng.IntN(2) == 0 {
			w, o = b, a
		}
		scribble(rng, w, 4)
		if rng.IntN(3) == 0 {
			pullAll(t, o, w, 1+rng.IntN(500))
		}
		runs, _ := randomRuns(rng)
		for i := range w.origins {
			want := map[Seq]bool{}
			w.EachTip(func(x Tip) {
				if x.Dot.Origin == w.origins[i].id && !runs.Has(x.Dot.Seq) {
					want[x.Dot.Seq] = true
				}
			})
			w.origins[i].index.missing(&w.store, runs, func(s Seq, _ uint64) {
				if !want[s] {
					t.Fatalf("the index gives %d, which is not live or known, or gives it twice", s)
				}
				delete(want, s)
			})
			if len(want) > 0 {
				t.Fatalf("the index misses %v", want)
			}
			if n := w.origins[i].index.n; n > w.live+w.ghosts {
				t.Fatalf("the index has %d entries for %d tips: it grows with history", n, w.live+w.ghosts)
			}
		}
	}
}
