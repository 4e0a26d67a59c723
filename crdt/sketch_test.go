package crdt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// twoSets makes two sets with common items, beside which one has a items and the other b.
func twoSets(rng *rand.Rand, common, a, b int) (mine, theirs []uint64) {
	items := func(n int) []uint64 {
		out := make([]uint64, n)
		for i := range out {
			out[i] = rng.Uint64()
		}
		return out
	}
	both := items(common)
	return slices.Concat(both, items(a)), slices.Concat(both, items(b))
}

// without gives the items of a that b lacks, in order.
func without(a, b []uint64) []uint64 {
	in := make(map[uint64]bool, len(b))
	for _, x := range b {
		in[x] = true
	}
	var out []uint64
	for _, x := range a {
		if !in[x] {
			out = append(out, x)
		}
	}
	slices.Sort(out)
	return out
}

// talk lets mine hear the symbols of theirs over the wire: first many of them, then as many as ask says, until it knows the
// difference. It tells how often it asked, and how many bytes came.
func talk(t testing.TB, key uint64, mine, theirs []uint64, first int, ask func(*peeler) int) (p *peeler, asked, wire int) {
	t.Helper()
	p, from := newPeeler(newSketch(key, mine)), newSketch(key, theirs)
	for n := first; ; n = ask(p) {
		at := len(p.left)
		from.extend(at + n)
		msg := appendSymbols(nil, from.syms[at:])
		d := decoder{b: msg}
		got := d.symbols()
		if err := d.done(); err != nil {
			t.Fatal(err)
		}
		if err := p.add(got); err != nil {
			t.Fatal(err)
		}
		wire += len(msg)
		if p.done() || len(p.left) == sketchMax {
			return p, asked, wire
		}
		asked++
	}
}

func TestSketchFindsTheDifference(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		a, b := rng.IntN(1<<rng.IntN(9)), rng.IntN(1<<rng.IntN(9))
		mine, theirs := twoSets(rng, rng.IntN(3000), a, b)
		step := 1 + rng.IntN(100)
		p, _, _ := talk(t, seed, mine, theirs, step, func(*peeler) int { return step })
		if !p.done() {
			t.Fatalf("seed %d: %d and %d differ, and %d symbols do not tell them", seed, a, b, len(p.left))
		}
		gotMine, gotTheirs, ok := p.difference()
		if !ok || !slices.Equal(gotMine, without(mine, theirs)) || !slices.Equal(gotTheirs, without(theirs, mine)) {
			t.Fatalf("seed %d: found %d and %d items of %d and %d", seed, len(gotMine), len(gotTheirs), a, b)
		}
	}
}

// What was extended in steps must be what was made at once, on every machine: the other side's are subtracted from it.
func TestSketchIsTheSameEverywhere(t *testing.T) {
	items, _ := twoSets(rand.New(rand.NewPCG(7, 7)), 500, 0, 0)
	once, steps := newSketch(3, items), newSketch(3, slices.Clone(items))
	once.extend(1000)
	for n := range 1000 {
		steps.extend(n + 1)
	}
	if !slices.Equal(once.syms, steps.syms) {
		t.Fatal("a sketch made in steps differs")
	}
	var at []uint64
	for i, n := uint64(0), uint64(0); i < sketchMax; n++ {
		at = append(at, i)
		i = after(i, salt(3).draw(42, n))
	}
	if want := []uint64{0, 1, 2, 8, 11, 16, 17, 33, 37, 64, 456, 626, 1094, 3705, 4083, 5303, 5855, 9014, 13831, 16300}; !slices.Equal(at, want) {
		t.Fatalf("item 42 maps to %d, want %d", at, want)
	}
}

// TestSketchMapping compares how many items map to an index with what estimate takes for granted.
func TestSketchMapping(t *testing.T) {
	const n = 200_000
	items, _ := twoSets(rand.New(rand.NewPCG(8, 8)), n, 0, 0)
	s := newSketch(1, items)
	s.extend(300)
	for i, x := range s.syms {
		want := density(i) * n
		if off := float64(x.count) - want; off*off > 25*want {
			t.Errorf("%d items map to index %d, want about %.0f", x.count, i, want)
		}
	}
}

// TestSketchOverhead holds the costs that the comments name.
func TestSketchOverhead(t *testing.T) {
	for _, c := range []struct {
		differ, runs int
		mean, p99    float64
	}{{1, 400, 1.01, 1.01}, {10, 400, 1.8, 3.5}, {100, 400, 1.55, 1.8}, {1000, 60, 1.4, 1.5}, {10_000, 6, 1.38, 1.4}} {
		var took []int
		sum := 0
		for seed := range uint64(c.runs) {
			rng := rand.New(rand.NewPCG(seed, 2))
			mine, theirs := twoSets(rng, 100, c.differ/2, c.differ-c.differ/2)
			p, _, _ := talk(t, seed, mine, theirs, 1, func(*peeler) int { return 1 })
			took = append(took, len(p.left))
			sum += len(p.left)
		}
		slices.Sort(took)
		last := took[(len(took)*99-1)/100]
		mean, p99 := float64(sum)/float64(c.runs*c.differ), float64(last)/float64(c.differ)
		t.Logf("%5d differ: %.2f symbols each, p99 %.2f", c.differ, mean, p99)
		if mean > c.mean || p99 > c.p99 || last > symbolsFor(c.differ) {
			t.Errorf("%d differ: %.2f symbols each, p99 %.2f, want %.2f and %.2f, and at most %d in all", c.differ, mean, p99, c.mean, c.p99, symbolsFor(c.differ))
		}
	}
}

func TestSketchEstimate(t *testing.T) {
	for _, differ := range []int{20, 100, 1000, 10_000, 100_000} {
		for _, share := range []float64{0, 0.1, 0.5} {
			var of []float64
			for seed := range uint64(50) {
				b := int(float64(differ) * share)
				mine, theirs := twoSets(rand.New(rand.NewPCG(seed, 3)), 0, differ-b, b)
				p, from := newPeeler(newSketch(seed, mine)), newSketch(seed, theirs)
				from.extend(64)
				if err := p.add(from.syms); err != nil {
					t.Fatal(err)
				}
				of = append(of, float64(p.estimate())/float64(differ))
			}
			slices.Sort(of)
			t.Logf("%6d differ, %v of them theirs: %.2f to %.2f times that, median %.2f", differ, share, of[0], of[49], of[25])
			if of[0] < 0.5 || of[49] > 1.6 || of[25] < 0.85 || of[25] > 1.15 {
				t.Errorf("%d differ, %v of them theirs: estimated at %.2f to %.2f times that, median %.2f", differ, share, of[0], of[49], of[25])
			}
		}
	}
}

// One more message must be enough nearly always, at little more than what the symbols themselves take.
func TestSketchAsksOnce(t *testing.T) {
	const runs = 100
	for _, differ := range []int{30, 100, 300, 1000} {
		again, bytes := 0, 0
		for seed := range uint64(runs) {
			mine, theirs := twoSets(rand.New(rand.NewPCG(seed, 4)), 1000, differ/2, differ/2)
			_, asked, wire := talk(t, seed, mine, theirs, 64, (*peeler).more)
			bytes += wire
			if asked > 1 {
				again++
			}
		}
		each := float64(bytes) / float64(runs*differ)
		t.Logf("%4d differ: %.1f bytes each, %d of %d asked twice", differ, each, again, runs)
		if each > 34 || again > runs/10 {
			t.Errorf("%d differ: %.1f bytes each, and %d of %d asked twice", differ, each, again, runs)
		}
	}
}

func BenchmarkSketch(b *testing.B) {
	items, _ := twoSets(rand.New(rand.NewPCG(1, 1)), 1_000_000, 0, 0)
	for _, n := range []int{64, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				newSketch(1, items).extend(n)
			}
		})
	}
}

func BenchmarkPeel(b *testing.B) {
	mine, theirs := twoSets(rand.New(rand.NewPCG(1, 1)), 0, 1000, 1000)
	a, from := newSketch(1, mine), newSketch(1, theirs)
	a.extend(symbolsFor(2000))
	from.extend(symbolsFor(2000))
	for b.Loop() {
		p := newPeeler(a)
		if err := p.add(from.syms); err != nil || !p.done() {
			b.Fatal(err)
		}
	}
}

// Symbols that no set has must neither hold a decoder up nor pass for a difference.
func TestSketchHostile(t *testing.T) {
	const key = salt(5)
	one := symbol{77, key.check(77), 1}
	all := make([]symbol, sketchMax)
	for i := range all {
		all[i] = one
	}
	p := newPeeler(newSketch(uint64(key), nil))
	if err := p.add(all); err != nil {
		t.Fatal(err)
	}
	if p.done() || len(p.found) > sketchMax {
		t.Fatalf("%d items found in one, done: %v", len(p.found), p.done())
	}
	if err := p.add(all[:1]); err == nil {
		t.Fatalf("%d symbols taken", len(p.left))
	}
	twice := newSketch(uint64(key), []uint64{77, 77, 77})
	twice.extend(200)
	if p = newPeeler(newSketch(uint64(key), nil)); p.add(twice.syms) != nil || p.done() {
		t.Fatal("an item that is there three times was taken")
	}
	if newPeeler(newSketch(1, nil)).done() {
		t.Fatal("done before the first symbol")
	}
}

func FuzzSketchDecode(f *testing.F) {
	mine, theirs := twoSets(rand.New(rand.NewPCG(9, 9)), 50, 12, 9)
	for _, n := range []int{0, 1, 20, 64} {
		s := newSketch(1, theirs)
		s.extend(n)
		f.Add(appendSymbols(nil, s.syms))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		d := decoder{b: msg}
		got := d.symbols()
		wantTold(t, d.err)
		if len(got) > sketchBatchMax || d.err != nil && len(got) > 0 {
			t.Fatalf("%d symbols, and %v", len(got), d.err)
		}
		p := newPeeler(newSketch(1, slices.Clone(mine)))
		for i := 0; i < len(got); i += 7 {
			if err := p.add(got[i:min(i+7, len(got))]); err != nil {
				t.Fatal(err)
			}
		}
		if len(p.found) > len(got) || p.estimate() < 0 || p.more() <= 0 {
			t.Fatalf("%d items found in %d symbols, %d estimated, %d asked for", len(p.found), len(got), p.estimate(), p.more())
		}
		if !p.done() {
			return
		}
		// What was found must explain every symbol.
		gone, came, ok := p.difference()
		if !ok {
			return
		}
		set := without(mine, gone)
		if len(set)+len(gone) != len(mine) {
			return // it names as ours what is not: the caller's look-up tells
		}
		s := newSketch(1, append(set, came...))
		s.extend(len(got))
		if !slices.Equal(s.syms, got) {
			t.Fatal("done, and what was found does not add up")
		}
	})
}
