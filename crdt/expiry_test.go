package crdt

import (
	"fmt"
	"testing"
)

func TestExpiryHeapIsTrimmed(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error {
		for i := range 100 {
			tx.Set(fmt.Sprint(i), []byte("v"), false)
		}
		return nil
	})
	for i := range 200 {
		update(t, r, func(tx *Tx) error {
			for k := range 100 {
				tx.Expire(fmt.Sprint(k), testNow+int64(1000+i))
			}
			return nil
		})
		if n := len(r.expiry); n > 2*100+64+1 {
			t.Fatalf("%d instants for 100 keys", n)
		}
	}
	mustAudit(t, r)
}

// TestSweep: who set the expiry removes the entry when it is due, others a while later, and in bounded portions.
func TestSweep(t *testing.T) {
	t.Parallel()
	const keys = sweepMax + 10
	r, b := newTestRegion(1), newTestRegion(2)
	update(t, r, func(tx *Tx) error {
		for i := range keys {
			tx.Set(fmt.Sprint(i), []byte("v"), false)
			tx.Expire(fmt.Sprint(i), testNow+1000)
		}
		tx.Set("stays", []byte("v"), false)
		return nil
	})
	pullAll(t, b, r, 1<<16)
	if at, ok := r.NextExpiry(); !ok || at != testNow+1000 {
		t.Fatalf("due %d %v", at, ok)
	}
	if at, _ := b.NextExpiry(); at != testNow+1000+sweepGraceMillis {
		t.Fatalf("due elsewhere %d", at)
	}
	if r.Tick(testNow+999) || r.Entries() != keys+1 {
		t.Fatal("swept early")
	}
	v := r.View(testNow + 1000)
	if _, ok, _ := v.Get("1"); ok || v.Kind("1") != KindNone {
		t.Fatal("an expired key shows")
	}
	if !r.Tick(testNow+1000) || r.Entries() != keys+1-sweepMax || r.Tick(testNow+1000) || r.Entries() != 1 {
		t.Fatalf("%d entries after the sweeps", r.Entries())
	}
	if b.Tick(testNow + 1000); b.Entries() != keys+1 {
		t.Fatal("another replica swept at once")
	}
	pullAll(t, b, r, 1<<16)
	if b.Tick(testNow + 10*sweepGraceMillis); b.Entries() != 1 || state(b) != state(r) {
		t.Fatalf("%d entries", b.Entries())
	}
	mustAudit(t, r, b)
}

// TestExpiryBesideExpiry: of settings made apart the latest instant wins, PERSIST beats all, and what has seen
// the other wins whatever it says.
func TestExpiryBesideExpiry(t *testing.T) {
	t.Parallel()
	const none = int64(0)
	set := func(at int64) func(*Tx) { return func(tx *Tx) { tx.Expire("k", at) } }
	persist := func(tx *Tx) { tx.Persist("k") }
	keep := func(tx *Tx) { tx.Set("k", []byte("w"), true) }
	plain := func(tx *Tx) { tx.Set("k", []byte("w"), false) }
	for name, c := range map[string]struct {
		first, second func(*Tx)
		apart         bool
		want          int64
	}{
		"later instant apart":      {set(testNow + 50), set(testNow + 90), true, testNow + 90},
		"earlier instant after":    {set(testNow + 90), set(testNow + 50), false, testNow + 50},
		"persist beside expire":    {persist, set(testNow + 900), true, none},
		"expire after persist":     {persist, set(testNow + 900), false, testNow + 900},
		"persist after expire":     {set(testNow + 50), persist, false, none},
		"set keeps":                {set(testNow + 50), keep, false, testNow + 50},
		"set clears":               {set(testNow + 50), plain, false, none},
		"set beside expire leaves": {set(testNow + 50), plain, true, testNow + 50},
	} {
		a, b := newTestRegion(1), newTestRegion(2)
		update(t, a, func(tx *Tx) error {
			tx.Set("k", []byte("v"), false)
			tx.Expire("k", testNow+10)
			return nil
		})
		pullAll(t, b, a, 1<<16)
		update(t, a, func(tx *Tx) error { c.first(tx); return nil })
		if !c.apart {
			pullAll(t, b, a, 1<<16)
		}
		update(t, b, func(tx *Tx) error { c.second(tx); return nil })
		pullAll(t, b, a, 1<<16)
		pullAll(t, a, b, 1<<16)
		for _, r := range []*Region{a, b} {
			if at, _ := r.View(testNow).ExpireAt("k"); at != c.want {
				t.Errorf("%s: expires at %d, want %d", name, at, c.want)
			}
		}
	}
}

// TestLeftOverExpiry: an expiry that outlived its value does not fall on the next one.
func TestLeftOverExpiry(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	update(t, a, func(tx *Tx) error { tx.Set("k", []byte("v"), false); return nil })
	pullAll(t, b, a, 1<<16)
	update(t, a, func(tx *Tx) error { tx.Del("k"); return nil })
	update(t, b, func(tx *Tx) error { tx.Expire("k", testNow+50); return nil })
	pullAll(t, a, b, 1<<16)
	if a.View(testNow).Kind("k") != KindNone {
		t.Fatal("the removed value is back")
	}
	update(t, a, func(tx *Tx) error { tx.Set("k", []byte("new"), true); return nil })
	if at, ok := a.View(testNow).ExpireAt("k"); ok {
		t.Fatalf("the new value expires at %d", at)
	}
	mustAudit(t, a, b)
}

func TestWrongClockSweepsNothingOfOthers(t *testing.T) {
	t.Parallel()
	const day = 24 * 3600 * 1000
	a, b := newTestRegion(1), newTestRegion(2)
	today := int64(20_000 * day)
	set := func(r *Region, key string, now int64) {
		if err := r.Update(now, func(tx *Tx) error {
			tx.Set(key, []byte("v"), false)
			tx.Expire(key, now+day)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	set(a, "of a", today)
	pullAll(t, b, a, 1<<16)
	set(b, "of b", today)
	b.Tick(today + 70*365*day) // its clock has leapt
	if b.Entries() != 1 || b.View(today).Kind("of a") != KindString {
		t.Fatalf("%d entries left, want only the other's", b.Entries())
	}
	b.Tick(today + 2*day) // its clock is right again
	if b.Entries() != 0 {
		t.Fatalf("%d entries left, want none", b.Entries())
	}
}
