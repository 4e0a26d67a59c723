package crdt

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type thing struct{ hash uint64 }

// TestTableAgainstSlice inserts and removes at random, with hashes that crowd at either end and collide.
func TestTableAgainstSlice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 6))
		var tab table[thing]
		var all []*thing
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
				x := &thing{crowd()}
				all = append(all, x)
				tab.insert(x.hash, x)
			} else {
				j := rng.IntN(len(all))
				tab.remove(all[j].hash, all[j])
				all = slices.Delete(all, j, j+1)
			}
			if i%50 == 0 {
				checkTable(t, &tab, all, crowd())
			}
		}
		for _, x := range all {
			tab.remove(x.hash, x)
		}
		if tab.n != 0 || tab.find(1, func(*thing) bool { return true }) != nil {
			t.Fatalf("seed %d: %d left", seed, tab.n)
		}
	}
}

func checkTable(t *testing.T, tab *table[thing], all []*thing, from uint64) {
	t.Helper()
	if tab.n != len(all) {
		t.Fatalf("%d items, want %d", tab.n, len(all))
	}
	want := map[*thing]bool{}
	for _, x := range all {
		if tab.find(x.hash, func(y *thing) bool { return x == y }) != x {
			t.Fatalf("%x is not found", x.hash)
		}
		if x.hash >= from {
			want[x] = true
		}
	}
	last := from
	tab.ascend(from, func(h uint64, x *thing) bool {
		if h != x.hash || h < last || !want[x] {
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
			w.origins[i].index.missing(uint32(i), runs, func(s Seq, _ *cell) {
				if !want[s] {
					t.Fatalf("the index gives %d, which is not live or known, or gives it twice", s)
				}
				delete(want, s)
			})
			if len(want) > 0 {
				t.Fatalf("the index misses %v", want)
			}
			if n := len(w.origins[i].index.ents); n > 64+8*(w.live+w.ghosts+indexCompactMin) {
				t.Fatalf("the index has %d entries for %d tips: it grows with history", n, w.live+w.ghosts)
			}
		}
	}
}
