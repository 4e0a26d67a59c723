package crdt

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// numbers is the naive model of runs.
type numbers map[Seq]bool

const seqMax = 40

func randomRuns(rng *rand.Rand) (Runs, numbers) {
	var r Runs
	m := numbers{}
	for range rng.IntN(8) {
		lo := Seq(1 + rng.IntN(seqMax))
		hi := min(lo+Seq(rng.IntN(6)), seqMax)
		r.AddSpan(lo, hi)
		for s := lo; s <= hi; s++ {
			m[s] = true
		}
	}
	return r, m
}

// check holds runs against the model, and against their form.
func (m numbers) check(r Runs) error {
	for s := Seq(1); s <= seqMax+1; s++ {
		if r.Has(s) != m[s] {
			return fmt.Errorf("%v: has %d is %v", r, s, r.Has(s))
		}
	}
	if r.Count() != uint64(len(m)) {
		return fmt.Errorf("%v: count %d, want %d", r, r.Count(), len(m))
	}
	at := r.Base
	for _, a := range r.Above {
		if a.Lo < at+2 || a.Hi < a.Lo {
			return fmt.Errorf("%v: not in its smallest form", r)
		}
		at = a.Hi
	}
	if r.Top() != at || r.Empty() != (len(m) == 0) {
		return fmt.Errorf("%v: top %d, empty %v", r, r.Top(), r.Empty())
	}
	return nil
}

func TestRunsAgainstSets(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		a, am := randomRuns(rng)
		b, bm := randomRuns(rng)
		union, both := a.Clone(), a.Intersect(b)
		union.Union(b)
		um, im, missing := numbers{}, numbers{}, uint64(0)
		for s := Seq(1); s <= seqMax; s++ {
			if am[s] || bm[s] {
				um[s] = true
			}
			if am[s] && bm[s] {
				im[s] = true
			}
			if bm[s] && !am[s] {
				missing++
			}
		}
		for _, x := range []struct {
			r Runs
			m numbers
		}{{a, am}, {b, bm}, {union, um}, {both, im}} {
			if err := x.m.check(x.r); err != nil {
				t.Fatal(err)
			}
		}
		if a.Missing(b) != missing || a.Covers(b) != (missing == 0) {
			t.Fatalf("%v misses %d of %v, want %d", a, a.Missing(b), b, missing)
		}
		s := Seq(1 + rng.IntN(seqMax))
		if a.Add(s) == am[s] {
			t.Fatalf("adding %d: new is %v", s, am[s])
		}
		am[s] = true
		if err := am.check(a); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunsCross(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		a, _ := randomRuns(rng)
		d := decoder{b: appendRuns(nil, a)}
		if b := d.runs(); d.done() != nil || !a.Equal(b) {
			t.Fatalf("%v reads back as %v, %v", a, b, d.err)
		}
		b, _ := randomRuns(rng)
		id := testOrigin(1)
		x, y := Context{id: a}, Context{id: b}
		if (x.Hash() == y.Hash()) != a.Equal(b) || x.Equal(y) != a.Equal(b) {
			t.Fatalf("%v and %v: hashes %x and %x", a, b, x.Hash(), y.Hash())
		}
	}
}

// TestPiecesAgainstPositions: raising ranges is, at each position, a union.
func TestPiecesAgainstPositions(t *testing.T) {
	t.Parallel()
	const width = 12
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 5))
		r := newTestRegion(1)
		model := make([]Context, width)
		for i := range model {
			model[i] = Context{}
		}
		edge := func(i int) pos { // width positions, the last up to the end of the space
			if i == width {
				return posMax
			}
			return pos{uint64(i), 0}
		}
		for range 1 + rng.IntN(10) {
			lo := rng.IntN(width)
			hi := lo + 1 + rng.IntN(width-lo)
			cut := Context{}
			for range rng.IntN(3) {
				runs, _ := randomRuns(rng)
				if !runs.Empty() {
					cut[testOrigin(rng.IntN(3))] = runs
				}
			}
			end := edge(hi)
			if hi < width {
				end = before(end)
			}
			r.raise(edge(lo), end, cut)
			for i := lo; i < hi; i++ {
				model[i].Union(cut)
			}
			if rng.IntN(4) == 0 {
				r.trimPieces()
			}
		}
		for i, want := range model {
			if got := r.contextAt(edge(i)); !got.Equal(want) {
				t.Fatalf("seed %d: at %d: %v, want %v", seed, i, got, want)
			}
			if got := r.contextAt(before(edge(i + 1))); i+1 < width && !got.Equal(want) {
				t.Fatalf("seed %d: at the end of %d: %v, want %v", seed, i, got, want)
			}
		}
		if err := r.Audit(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
