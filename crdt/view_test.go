package crdt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// scanAll goes through a scan to its end; between calls it lets something happen.
func scanAll(t *testing.T, scan func(cursor uint64, fn func(string)) uint64, between func()) map[string]int {
	t.Helper()
	got := map[string]int{}
	cursor := uint64(0)
	for range 100_000 {
		if cursor = scan(cursor, func(s string) { got[s]++ }); cursor == 0 {
			return got
		}
		between()
	}
	t.Fatal("the scan does not end")
	return nil
}

// TestScanWhileItGrowsAndShrinks: what is there from the first call to the last is delivered, and nothing that
// never was.
func TestScanWhileItGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 8))
		r := newTestRegion(1)
		stay := 1 + rng.IntN(200)
		name := func(i int) string { return fmt.Sprint("k", i) }
		update(t, r, func(tx *Tx) error {
			for i := range stay {
				tx.Set(name(i), []byte("v"), false)
				if _, err := tx.MapSet("map", name(i), []byte("v")); err != nil {
					return err
				}
				if _, err := tx.SetAdd("set", name(i)); err != nil {
					return err
				}
			}
			return nil
		})
		next := stay
		churn := func() {
			update(t, r, func(tx *Tx) error {
				for range rng.IntN(60) {
					i := stay + rng.IntN(next-stay+1)
					if rng.IntN(2) == 0 || next > stay+300 {
						tx.Del(name(i))
						_, _ = tx.MapDel("map", name(i))
						_, err := tx.SetRemove("set", name(i))
						if err != nil {
							return err
						}
						continue
					}
					next++
					tx.Set(name(next), []byte("v"), false)
					_, _ = tx.MapSet("map", name(next), []byte("v"))
					if _, err := tx.SetAdd("set", name(next)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		count := 1 + rng.IntN(20)
		for kind, scan := range map[string]func(uint64, func(string)) uint64{
			"keys": func(c uint64, fn func(string)) uint64 {
				return r.View(testNow).Scan(c, count, func(k string, _ Kind) { fn(k) })
			},
			"members": func(c uint64, fn func(string)) uint64 {
				n, err := r.View(testNow).SetScan("set", c, count, fn)
				if err != nil {
					t.Fatal(err)
				}
				return n
			},
			"fields": func(c uint64, fn func(string)) uint64 {
				n, err := r.View(testNow).MapScan("map", c, count, func(f string, _ []byte) { fn(f) })
				if err != nil {
					t.Fatal(err)
				}
				return n
			},
		} {
			got := scanAll(t, scan, churn)
			for i := range stay {
				if got[name(i)] == 0 {
					t.Fatalf("seed %d: the scan of %s misses %s", seed, kind, name(i))
				}
			}
			for s := range got {
				var i int
				if n, _ := fmt.Sscanf(s, "k%d", &i); (n != 1 || i > next) && s != "map" && s != "set" {
					t.Fatalf("seed %d: the scan of %s gives %q", seed, kind, s)
				}
			}
		}
	}
}

// TestManyCells: an entry keeps its cells in a list, then in a table, and answers alike.
func TestManyCells(t *testing.T) {
	t.Parallel()
	r, b := newTestRegion(1), newTestRegion(2)
	have := map[string]bool{}
	rng := rand.New(rand.NewPCG(9, 9))
	for i := range 600 {
		m := fmt.Sprint(rng.IntN(4 * tableList))
		update(t, r, func(tx *Tx) error {
			var ok bool
			var err error
			if i%3 < 2 {
				ok, err = tx.SetAdd("s", m)
				ok = ok == !have[m]
				have[m] = true
			} else {
				ok, err = tx.SetRemove("s", m)
				ok = ok == have[m]
				delete(have, m)
			}
			if !ok {
				t.Errorf("%s: wrong answer", m)
			}
			return err
		})
		if n, err := r.View(testNow).SetLen("s"); err != nil || n != len(have) {
			t.Fatalf("%d members, want %d", n, len(have))
		}
		if i%20 == 0 {
			pullAll(t, b, r, 50)
			mustAudit(t, r, b)
		}
	}
	if pullAll(t, b, r, 50); state(b) != state(r) {
		t.Fatal("unequal")
	}
}

func TestKindsDoNotMix(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error { _, err := tx.SetAdd("k", "m"); return err })
	for name, fn := range map[string]func(tx *Tx) error{
		"Incr":        func(tx *Tx) error { _, err := tx.Incr("k", 1); return err },
		"IncrFloat":   func(tx *Tx) error { _, err := tx.IncrFloat("k", "1"); return err },
		"MapSet":      func(tx *Tx) error { _, err := tx.MapSet("k", "f", nil); return err },
		"MapDel":      func(tx *Tx) error { _, err := tx.MapDel("k", "f"); return err },
		"MapIncr":     func(tx *Tx) error { _, err := tx.MapIncr("k", "f", 1); return err },
		"MapIncFloat": func(tx *Tx) error { _, err := tx.MapIncrFloat("k", "f", "1"); return err },
		"Get":         func(tx *Tx) error { _, _, err := tx.Get("k"); return err },
		"MapGet":      func(tx *Tx) error { _, _, err := tx.MapGet("k", "f"); return err },
		"MapLen":      func(tx *Tx) error { _, err := tx.MapLen("k"); return err },
		"MapEach":     func(tx *Tx) error { return tx.MapEach("k", nil) },
		"MapScan":     func(tx *Tx) error { _, err := tx.MapScan("k", 0, 1, nil); return err },
	} {
		if err := r.Update(testNow, fn); !errors.Is(err, ErrWrongType) {
			t.Errorf("%s on a set: %v", name, err)
		}
	}
	if r.Stats().LocalWrites != 1 {
		t.Error("a refused operation wrote")
	}
}

// TestTwoKindsUnderOneKey: written apart, both are kept, one shows, and a later write settles it.
func TestTwoKindsUnderOneKey(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	update(t, a, func(tx *Tx) error { tx.Set("k", []byte("v"), false); return nil })
	update(t, b, func(tx *Tx) error { _, err := tx.SetAdd("k", "m"); return err })
	pullAll(t, a, b, 1<<16)
	pullAll(t, b, a, 1<<16)
	if a.View(testNow).Kind("k") != KindSet || b.View(testNow).Kind("k") != KindSet || a.Siblings() != 2 {
		t.Fatalf("%v, %d siblings", a.View(testNow).Kind("k"), a.Siblings())
	}
	update(t, a, func(tx *Tx) error { tx.Set("k", []byte("w"), false); return nil })
	pullAll(t, b, a, 1<<16)
	if v, ok, err := b.View(testNow).Get("k"); string(v) != "w" || !ok || err != nil || b.Siblings() != 1 {
		t.Fatalf("%q %v %v, %d siblings", v, ok, err, b.Siblings())
	}
}

func TestSiblingsNewestFirst(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	if err := b.Update(testNow+5, func(tx *Tx) error { tx.Set("k", []byte("newer"), false); return nil }); err != nil {
		t.Fatal(err)
	}
	update(t, a, func(tx *Tx) error { tx.Set("k", []byte("older"), false); return nil })
	pullAll(t, a, b, 1<<16)
	got := a.View(testNow).Siblings("k")
	if len(got) != 2 || string(got[0].Value) != "newer" || string(got[1].Value) != "older" || got[0].Dot.Origin != b.Self() {
		t.Fatalf("%v", got)
	}
	if len(a.View(testNow).Siblings("none")) != 0 || len(a.View(testNow).MapSiblings("k", "f")) != 0 {
		t.Fatal("siblings of nothing")
	}
}
