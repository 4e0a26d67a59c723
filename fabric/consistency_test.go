package fabric

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// tally counts the pairs that a node has, and those whose second write shows without its first.
func tally(t *testing.T, r *Region, pairs int) (have, torn int) {
	t.Helper()
	err := r.View(func(v *crdt.View) {
		for i := range pairs {
			_, first, _ := v.Get(fmt.Sprint("first ", i))
			_, second, _ := v.Get(fmt.Sprint("second ", i))
			if second {
				have++
			}
			if second && !first {
				torn++
			}
		}
	})
	if err != nil && !errors.Is(err, ErrLoading) {
		t.Fatal(err)
	}
	return have, torn
}

// watchPairs writes pairs at a while its link to b loses pushes and breaks, and counts how often b shows a torn one.
func watchPairs(t *testing.T, c Consistency) (torn int) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		const pairs = 300
		m := NewMesh(3)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, err := a.CreateRegion(t.Context(), "r", RegionConfig{Consistency: c})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		rb := region(t, b, "r")
		if rb.Consistency() != c {
			t.Fatalf("b takes it to be %s", rb.Consistency())
		}
		m.SetLoss(0.3)
		m.SetRate(1 << 20)
		for i := range pairs {
			set(t, ra, fmt.Sprint("first ", i), noise(i, 4000))
			time.Sleep(time.Millisecond)
			set(t, ra, fmt.Sprint("second ", i), noise(i, 4000))
			if i%100 == 30 {
				m.Cut("a", "b")
			}
			if i%100 == 90 {
				m.Heal("a", "b")
			}
			time.Sleep(3 * time.Millisecond)
			_, n := tally(t, rb, pairs)
			torn += n
		}
		m.Heal("a", "b")
		for range 2000 {
			time.Sleep(5 * time.Millisecond)
			_, n := tally(t, rb, pairs)
			torn += n
		}
		if have, _ := tally(t, rb, pairs); have != pairs {
			t.Errorf("%s: b has %d of %d pairs", c, have, pairs)
		}
		sameState(t, ra, rb)
	})
	return torn
}

// A causal region never shows a write before what it comes after, by pushes or by pulls. An eventual one does: the test can
// tell.
func TestCausalRegionShowsNothingEarly(t *testing.T) {
	if n := watchPairs(t, Causal); n > 0 {
		t.Errorf("a write showed without the one before it, %d times", n)
	}
	if watchPairs(t, Eventual) == 0 {
		t.Error("nothing showed early in an eventual region either: the test is too kind")
	}
}

// A pull that is too large to be kept back is merged as it comes; the region is not read meanwhile, and written all the same.
func TestLargePullOfACausalRegionLoads(t *testing.T) {
	for _, staged := range []struct{ server, puller int }{{100 << 10, 0}, {0, 100 << 10}} {
		bubble.Test(t, func(t *testing.T) {
			const keys, size = 500, 4000
			m := NewMesh(1)
			a := nodeWith(t, m, "a", Config{Seed: 1, MaxStaged: staged.server})
			ra, err := a.CreateRegion(t.Context(), "r", RegionConfig{Consistency: Causal})
			if err != nil {
				t.Fatal(err)
			}
			for i := range keys {
				set(t, ra, fmt.Sprint(i), noise(i, size))
			}
			time.Sleep(time.Second)
			m.SetRate(200 << 10) // 10 s
			b := nodeWith(t, m, "b", Config{Seed: 2, MaxStaged: staged.puller})
			time.Sleep(5 * time.Second)
			rb := region(t, b, "r")
			_, err = RegisterOf[string](rb, "1").Get()
			if !errors.Is(err, ErrLoading) || !rb.Loading() || !rb.status().Loading {
				t.Errorf("half of it is there, and a read gives %v", err)
			}
			for _, err := range rb.Scan() {
				if !errors.Is(err, ErrLoading) {
					t.Errorf("a scan gives %v", err)
				}
			}
			set(t, rb, "of b", "v")
			time.Sleep(15 * time.Second)
			if n := a.mesh.staging.Load() + b.mesh.keeping.Load(); n != 0 {
				t.Errorf("%d sessions still hold chunks", n)
			}
			if get(t, rb, "499") == "" || get(t, rb, "of b") != "v" {
				t.Error("it does not read what it has")
			}
			sameState(t, ra, rb)
		})
	}
}

// What is created again without a word about consistency keeps the one it has.
func TestConsistencyStaysAsItIs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := node(t, NewMesh(1), "a")
		for _, c := range []struct{ say, want Consistency }{{"", Eventual}, {Causal, Causal}, {"", Causal}, {Eventual, Eventual}} {
			r, err := f.CreateRegion(t.Context(), "r", RegionConfig{Consistency: c.say})
			if err != nil || r.Consistency() != c.want {
				t.Errorf("%q: %s, %v, want %s", c.say, r.Consistency(), err, c.want)
			}
		}
		if _, err := f.CreateRegion(t.Context(), "r", RegionConfig{Consistency: "strong"}); err == nil {
			t.Error("strong was taken")
		}
	})
}
