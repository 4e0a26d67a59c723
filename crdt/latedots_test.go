package crdt

import (
	"math/rand/v2"
	"testing"
)

// TestLateDots: dots that come in no order, beyond what waits at once, are filed as if each had come by itself, and those that are moved meanwhile under
// their last records.
func TestLateDots(t *testing.T) {
	t.Parallel()
	const n = lateMax + lateMax/2
	s := &NewRegion(Config{Name: "t", Self: testOrigin(1)}).store
	rng := rand.New(rand.NewPCG(1, 1))
	want := map[Seq]uint64{}
	var x dotIndex
	moved := 0
	var before Seq
	for i, p := range rng.Perm(n) {
		seq := Seq(p)*37 + 1 // beyond 22 bits, with holes
		ref := uint64(i + 1)
		x.addLate(s, seq, ref)
		want[seq] = ref
		if i > 0 && i%100 == 0 { // as when a second cell of an entry is loaded
			x.move(s, before, want[before], ref+n)
			want[before] = ref + n
			moved++
		}
		before = seq
	}
	if x.late == nil || len(x.late.dots) == 0 || len(x.leaves) == 0 {
		t.Fatal("nothing waits, or nothing was filed")
	}
	last := Seq(0)
	x.each(s, 0, func(seq Seq, ref uint64) bool {
		if seq <= last || want[seq] != ref {
			t.Fatalf("after %d comes %d with record %d, want %d", last, seq, ref, want[seq])
		}
		last = seq
		delete(want, seq)
		return true
	})
	if len(want) != 0 || x.n != n || x.late != nil || moved == 0 {
		t.Errorf("%d dots are not filed, %d are counted of %d", len(want), x.n, n)
	}
}

// TestLateDotsAreSorted by number, those of one number as they came: to file them costs little only so.
func TestLateDotsAreSorted(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 2))
	for _, top := range []uint64{1, 2, 1 << 11, 1<<11 + 1, 1 << 23, 1 << 45, 1 << 63} {
		var l lateDots
		for i := range 3000 {
			l.dots = append(l.dots, lateDot{Seq(rng.Uint64N(top)), uint64(i)})
		}
		l.sort()
		for i := 1; i < len(l.dots); i++ {
			if a, b := l.dots[i-1], l.dots[i]; a.seq > b.seq || a.seq == b.seq && a.ref > b.ref {
				t.Fatalf("numbers below %d: %v before %v", top, a, b)
			}
		}
		if len(l.dots) != 3000 {
			t.Errorf("numbers below %d: %d dots", top, len(l.dots))
		}
	}
}
