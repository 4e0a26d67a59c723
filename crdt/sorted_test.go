package crdt

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// scored is one member of a naive sorted set.
type scored struct {
	member string
	score  float64
}

func naiveOrder(m map[string]float64) []scored {
	var out []scored
	for member, score := range m {
		out = append(out, scored{member, score})
	}
	slices.SortFunc(out, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.member, b.member))
	})
	return out
}

func sortedOf(v *View, key string, back bool) (out []scored) {
	from := 0
	if n, _ := v.SortedLen(key); back {
		from = n - 1
	}
	_ = v.SortedEach(key, from, back, func(m []byte, s float64) bool {
		out = append(out, scored{string(m), s})
		return true
	})
	return out
}

func equalScores(a, b []scored) bool {
	return slices.EqualFunc(a, b, func(x, y scored) bool {
		return x.member == y.member && math.Float64bits(x.score) == math.Float64bits(y.score)
	})
}

// TestSortedOrder drives a sorted set, large enough for leaves and groups to split and join, beside a map that is sorted when it is looked at.
func TestSortedOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		size  int // members to choose from
		score func(rng *rand.Rand, i int) float64
	}{
		{"few", 70, func(rng *rand.Rand, i int) float64 { return float64(rng.IntN(5)) }},
		{"random", 20_000, func(rng *rand.Rand, i int) float64 { return rng.NormFloat64() }},
		{"rising", 20_000, func(rng *rand.Rand, i int) float64 { return float64(i) }},
		{"falling", 20_000, func(rng *rand.Rand, i int) float64 { return -float64(i) }},
		{"alike", 3_000, func(rng *rand.Rand, i int) float64 { return 7 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, uint64(c.size)))
			r, naive := newTestRegion(1), map[string]float64{}
			for round := range 5 {
				asked := len(naive)
				update(t, r, func(tx *Tx) error {
					if _, _, err := tx.SortedRank("z", "nobody"); err != nil {
						t.Fatal(err)
					}
					_ = tx.SortedEach("z", 0, false, func([]byte, float64) bool { return false }) // asks for the order
					for i := range c.size {
						m := fmt.Sprint("m", rng.IntN(c.size))
						have, there := naive[m]
						if got, ok, err := tx.SortedScore("z", m); err != nil || ok != there || got != have {
							t.Fatalf("%s: %v %v %v, want %v %v", m, got, ok, err, have, there)
						}
						if round%3 == 2 && rng.IntN(4) > 0 {
							delete(naive, m)
							if removed, err := tx.SortedRemove("z", m); err != nil || removed != there {
								t.Fatal(removed, there, err)
							}
							continue
						}
						naive[m] = c.score(rng, i)
						if added, err := tx.SortedSet("z", m, naive[m]); err != nil || added == there {
							t.Fatal(added, there, err)
						}
					}
					return nil
				})
				_ = r.TakeDirty() // an audit looks for each dirty cell in the list
				mustAudit(t, r)
				if asked >= orderMin && len(r.orders) != 1 {
					t.Fatalf("%d orders of %d members", len(r.orders), len(naive))
				}
				checkOrder(t, rng, r, naive)
			}
			update(t, r, func(tx *Tx) error { tx.Del("z"); return nil })
			_ = r.TakeDirty()
			mustAudit(t, r)
			if len(r.orders) > 0 {
				t.Fatal("the order of what was removed is kept")
			}
		})
	}
}

func checkOrder(t *testing.T, rng *rand.Rand, r *Region, naive map[string]float64) {
	t.Helper()
	want := naiveOrder(naive)
	v := r.View(testNow)
	if got := sortedOf(v, "z", false); !equalScores(got, want) {
		t.Fatalf("%d members, want %d, or in another order", len(got), len(want))
	}
	got := sortedOf(v, "z", true)
	if slices.Reverse(got); !equalScores(got, want) {
		t.Fatal("backwards is another order")
	}
	for range min(200, len(want)) {
		i := rng.IntN(len(want))
		x := want[i]
		if rank, ok, err := v.SortedRank("z", x.member); rank != i || !ok || err != nil {
			t.Fatalf("%s has rank %d %v %v, want %d", x.member, rank, ok, err, i)
		}
		for _, through := range []bool{false, true} {
			below := 0
			for _, y := range want {
				if y.score < x.score || through && y.score == x.score {
					below++
				}
			}
			if n, err := v.SortedBelow("z", x.score, through); n != below || err != nil {
				t.Fatalf("%d members below %v (%v), want %d", n, x.score, through, below)
			}
		}
		n := 0
		_ = v.SortedEach("z", i, i%2 == 0, func(m []byte, _ float64) bool {
			if n == 0 && string(m) != x.member {
				t.Fatalf("rank %d is %s, want %s", i, m, x.member)
			}
			n++
			return n < 300
		})
	}
}

// TestSortedOrderKept: a View sorts for itself what has no order, and KeepOrders makes it, unless the entry has changed beyond it.
func TestSortedOrderKept(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	fill := func(tx *Tx) error {
		for i := range 2 * orderMin {
			_, _ = tx.SortedSet("z", fmt.Sprint(i), float64(i))
		}
		return nil
	}
	update(t, r, fill)
	if len(r.orders) > 0 {
		t.Fatal("an order that nobody asked for")
	}
	v := r.View(testNow)
	if got := sortedOf(v, "z", false); len(got) != 2*orderMin || !v.WantsOrders() {
		t.Fatal(len(got), v.WantsOrders())
	}
	before := r.Memory().Total()
	r.KeepOrders(v)
	mustAudit(t, r)
	if len(r.orders) != 1 || v.WantsOrders() || r.Memory().Total() <= before {
		t.Fatal(len(r.orders), v.WantsOrders())
	}
	for range orderSpare + 12 { // nobody asks
		update(t, r, fill)
	}
	if len(r.orders) > 0 {
		t.Fatal("an order is kept that nobody asks for")
	}
	v = r.View(testNow)
	_ = sortedOf(v, "z", false)
	update(t, r, func(tx *Tx) error { tx.Del("z"); tx.Set("z", nil, false); return nil })
	r.KeepOrders(v)
	mustAudit(t, r)
	if len(r.orders) > 0 {
		t.Fatal("an order of a register")
	}
	r.DropOrders()
	mustAudit(t, r)
}

// TestSortedIncrementsAsFloats: alone, a replica adds as float64 does, to the bit.
func TestSortedIncrementsAsFloats(t *testing.T) {
	t.Parallel()
	values := []float64{0, 1, -1, 0.1, 0.2, 0.3, -0.7, 1e308, -1e308, 1e-300, 5e-324, -5e-324, 1 << 53, 1e17, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.Copysign(0, -1)}
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 21))
		r, want := newTestRegion(1), 0.0
		for range 30 {
			f := values[rng.IntN(len(values))]
			if rng.IntN(3) == 0 {
				f = math.Float64frombits(rng.Uint64())
			}
			update(t, r, func(tx *Tx) error {
				if rng.IntN(5) == 0 {
					_, err := tx.SortedSet("z", "m", f)
					if (err != nil) != math.IsNaN(f) {
						t.Fatal(f, err)
					}
					if err == nil {
						want = f
					}
					return nil
				}
				got, err := tx.SortedIncr("z", "m", f)
				if (err != nil) != math.IsNaN(want+f) {
					t.Fatalf("seed %d: %v + %v: %v", seed, want, f, err)
				}
				if err != nil {
					return nil
				}
				want += f
				shown, _, _ := tx.SortedScore("z", "m")
				if got != want || shown != want {
					t.Fatalf("seed %d: + %v gives %v and shows %v, want %v", seed, f, got, shown, want)
				}
				return nil
			})
		}
		mustAudit(t, r)
	}
}

// TestSortedSumsAgree: increments of several replicas give the same bits everywhere, the exact sum rounded once.
func TestSortedSumsAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 22))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		exact := new(big.Rat)
		for _, r := range rs {
			have := 0.0
			for range 1 + rng.IntN(3) {
				f := math.Ldexp(rng.NormFloat64(), rng.IntN(200)-100)
				update(t, r, func(tx *Tx) error {
					_, err := tx.SortedIncr("z", "m", f)
					return err
				})
				have += f
			}
			exact.Add(exact, new(big.Rat).SetFloat64(have))
		}
		want, _ := exact.Float64()
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
			x := join(t, rs[order[0]], rs[order[1]], rs[order[2]])
			if got, ok, err := x.View(testNow).SortedScore("z", "m"); !ok || err != nil || got != want {
				t.Fatalf("seed %d: %v %v %v, want %v", seed, got, ok, err, want)
			}
		}
	}
}

func TestSortedRemoveTakesWhatItSaw(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	update(t, a, func(tx *Tx) error { _, err := tx.SortedSet("z", "m", 10); return err })
	pushTo(t, a, b)
	update(t, a, func(tx *Tx) error { _, err := tx.SortedRemove("z", "m"); return err })
	update(t, b, func(tx *Tx) error { _, err := tx.SortedIncr("z", "m", 2); return err })
	for range 2 {
		pullAll(t, a, b, 1<<20)
		pullAll(t, b, a, 1<<20)
	}
	for _, r := range []*Region{a, b} {
		if s, ok, _ := r.View(testNow).SortedScore("z", "m"); s != 2 || !ok {
			t.Fatalf("10, then ZREM ‖ ZINCRBY +2 is %v %v, want 2", s, ok)
		}
	}
	mustAudit(t, a, b)
}

// TestSortedLaws: the join of replicas that wrote apart is one, and so is the order.
func TestSortedLaws(t *testing.T) {
	t.Parallel()
	for seed := range uint64(lawRuns) {
		rng := rand.New(rand.NewPCG(seed, 23))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		for range 8 {
			a, b := rs[rng.IntN(3)], rs[rng.IntN(3)]
			scribbleSorted(rng, a, 1+rng.IntN(9))
			if a != b {
				pullAll(t, b, a, 1+rng.IntN(300))
			}
		}
		want := join(t, rs...)
		order := sortedOf(want.View(testNow), "a", false)
		for name, x := range map[string]*Region{
			"commutative": join(t, rs[2], rs[0], rs[1]),
			"associative": join(t, join(t, rs[0], rs[1]), join(t, rs[1], rs[2])),
			"idempotent":  join(t, rs[0], rs[1], rs[0], rs[2], rs[2], rs[1]),
		} {
			if got := state(x); got != state(want) {
				t.Fatalf("seed %d: the join is not %s:\n%s\nwant\n%s", seed, name, got, state(want))
			}
			if got := sortedOf(x.View(testNow), "a", false); !equalScores(got, order) {
				t.Fatalf("seed %d: %s: the order is %v, want %v", seed, name, got, order)
			}
		}
	}
}

func scribbleSorted(rng *rand.Rand, r *Region, writes int) {
	_ = r.Update(testNow, func(tx *Tx) error {
		for range writes {
			key, sub := string(rune('a'+rng.IntN(2))), string(rune('p'+rng.IntN(6)))
			switch rng.IntN(8) {
			case 0, 1, 2:
				_, _ = tx.SortedSet(key, sub, rng.NormFloat64())
			case 3, 4:
				_, _ = tx.SortedIncr(key, sub, float64(rng.IntN(9)-4)/8)
			case 5:
				_, _ = tx.SortedRemove(key, sub)
			case 6:
				if rng.IntN(3) == 0 {
					tx.Del(key)
				}
			default:
				_, _ = tx.SetAdd(key, sub) // a set, where there is none yet: two kinds may meet
			}
		}
		return nil
	})
}

// TestSortedBesideSet: of two kinds that were written concurrently both are kept, the higher shows, and a later write settles it.
func TestSortedBesideSet(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	update(t, a, func(tx *Tx) error { _, err := tx.SetAdd("k", "m"); return err })
	update(t, b, func(tx *Tx) error { _, err := tx.SortedSet("k", "m", 1); return err })
	pullAll(t, a, b, 1<<20)
	pullAll(t, b, a, 1<<20)
	for _, r := range []*Region{a, b} {
		if k := r.View(testNow).Kind("k"); k != KindSorted || r.Siblings() != 2 {
			t.Fatal(k, r.Siblings())
		}
	}
	update(t, a, func(tx *Tx) error {
		if _, err := tx.SetAdd("k", "m"); err != ErrWrongType {
			t.Fatal(err)
		}
		tx.Set("k", []byte("v"), false)
		return nil
	})
	pullAll(t, b, a, 1<<20)
	if k := b.View(testNow).Kind("k"); k != KindString || b.Siblings() != 1 {
		t.Fatal(k, b.Siblings())
	}
	mustAudit(t, a, b)
}

// TestBinaryFractions compares num with big.Rat.
func TestBinaryFractions(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 24))
	for range 5_000 {
		f, g := math.Float64frombits(rng.Uint64()), math.Float64frombits(rng.Uint64())
		if rng.IntN(2) == 0 {
			g = f * rng.NormFloat64()
		}
		if math.IsNaN(f+g) || math.IsInf(f, 0) || math.IsInf(g, 0) {
			continue
		}
		n := numOf(f).add(numOf(g))
		exact := new(big.Rat).SetFloat64(f)
		want, _ := exact.Add(exact, new(big.Rat).SetFloat64(g)).Float64()
		d := decoder{b: appendNum(nil, n)}
		back := d.num()
		if n.tooLong() || d.done() != nil || n.float() != want || back.float() != want || n.sub(numOf(g)).float() != f {
			t.Fatalf("%v + %v = %v, read back %v (%v), want %v", f, g, n.float(), back.float(), d.err, want)
		}
	}
	for _, bad := range [][]byte{{2}, {2, 0, 2, 1}, {2, 0xff, 0x7f, 2, 1}, {2, 1, 0xff, 0x7f}, {2, 1, 4, 1}} {
		d := decoder{b: bad}
		if n := d.num(); d.done() == nil {
			t.Errorf("%x reads as %v", bad, n)
		}
	}
}

func FuzzBinaryFraction(f *testing.F) {
	for _, x := range []float64{0.1, -0.75, 1e-300, 5e-324} {
		f.Add(appendNum(nil, numOf(x)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{b: b}
		n := d.num()
		if d.done() != nil {
			return
		}
		e := decoder{b: appendNum(nil, n)}
		if m := e.num(); e.done() != nil || m.sub(n).float() != 0 || m.String() != n.String() {
			t.Fatalf("%x: %v is written and read as %v (%v)", b, n, m, e.err)
		}
	})
}
