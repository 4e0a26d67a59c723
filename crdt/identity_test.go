package crdt

import (
	"errors"
	"fmt"
	"testing"
)

func TestRolledBack(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	set := func(r *Region, key, val string) {
		update(t, r, func(tx *Tx) error { tx.Set(key, []byte(val), false); return nil })
	}
	set(a, "x", "1")
	set(a, "y", "1")
	update(t, a, func(tx *Tx) error { _, err := tx.Incr("n", 10); return err })
	pullAll(t, b, a, 1<<20)
	told := a.OwnTop()
	d := disk{}
	d.commit(a.TakeDirty())
	old, err := d.load(1) // a copy of the running replica, under the same origin
	if err != nil {
		t.Fatal(err)
	}

	set(a, "x", "first life")
	update(t, a, func(tx *Tx) error { tx.Del("y"); _, err := tx.Incr("n", 1); return err })
	set(a, "only", "first life")
	set(a, "last", "first life") // so that b knows more than the second life wrote
	pullAll(t, b, a, 1<<20)

	set(old, "x", "second life")
	set(old, "z", "second life")
	update(t, old, func(tx *Tx) error { tx.Set("gone", nil, false); tx.Del("gone"); return nil })

	peer, _ := DecodeHello(b.Hello())
	if err := old.CheckHello(peer); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("a hello that knows more: %v", err)
	}
	if err := old.NewReceiver().Merge(b.NewPull(hello(t, old)).Next(1<<20), testNow); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("a chunk that knows more: %v", err)
	}
	again, left := old.Reincarnate(testOrigin(9), told, testNow)
	if again != 3 || left != 0 {
		t.Errorf("%d written again, %d left", again, left)
	}
	if err := old.Audit(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		pullAll(t, old, b, 1<<20)
		pullAll(t, b, old, 1<<20)
	}
	same(t, old, b)
	v := b.View(testNow)
	if s := v.Siblings("x"); len(s) != 2 {
		t.Errorf("x has %d values, want one of each life", len(s))
	}
	for key, want := range map[string]string{"z": "second life", "only": "first life", "last": "first life", "n": "11"} {
		if got, _, _ := v.Get(key); string(got) != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if _, ok, _ := v.Get("y"); ok {
		t.Error("y came back")
	}
}

// TestRolledBackLeavesTheRestToPulls: what is written again takes nothing of the other life with it, and covers what it
// covered in its own.
func TestRolledBackLeavesTheRestToPulls(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	set := func(r *Region, key, val string) {
		update(t, r, func(tx *Tx) error { tx.Set(key, []byte(val), false); return nil })
	}
	set(a, "x", "before")
	set(a, "y", "before")
	pullAll(t, b, a, 1<<20)
	told := a.OwnTop()
	d := disk{}
	d.commit(a.TakeDirty())
	old, err := d.load(1)
	if err != nil {
		t.Fatal(err)
	}
	set(a, "x", "first life")
	set(a, "last", "first life")
	pullAll(t, b, a, 1<<20)
	set(old, "x", "second life")
	set(old, "y", "second life")
	old.Reincarnate(testOrigin(9), told, testNow)
	for _, msg := range old.TakePush() {
		if _, err := b.Push(msg, testNow); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		pullAll(t, old, b, 1<<20)
		pullAll(t, b, old, 1<<20)
	}
	same(t, old, b)
	v := b.View(testNow)
	if x, y := v.Siblings("x"), v.Siblings("y"); len(x) != 2 || len(y) != 1 {
		t.Errorf("x has %d values, want one of each life; y has %d, want the last", len(x), len(y))
	}
}

// TestRolledBackCounters: what the second life alone added to is right, and everyone agrees on it.
func TestRolledBackCounters(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	incr := func(r *Region, key string, n int64) {
		update(t, r, func(tx *Tx) error { _, err := tx.Incr(key, n); return err })
	}
	incr(a, "n", 10)
	incr(b, "n", 3)
	pullAll(t, b, a, 1<<20)
	pullAll(t, a, b, 1<<20)
	told := a.OwnTop()
	d := disk{}
	d.commit(a.TakeDirty())
	old, err := d.load(1)
	if err != nil {
		t.Fatal(err)
	}
	incr(a, "other", 1)
	incr(a, "other", 1)
	incr(a, "other", 1)
	pullAll(t, b, a, 1<<20)
	incr(old, "n", 5)
	incr(old, "n", 1)
	if again, left := old.Reincarnate(testOrigin(9), told, testNow); again != 1 || left != 0 {
		t.Errorf("%d written again, %d left", again, left)
	}
	incr(old, "n", 2)
	for range 2 {
		pullAll(t, old, b, 1<<20)
		pullAll(t, b, old, 1<<20)
	}
	same(t, old, b)
	if n, _, _ := b.View(testNow).Get("n"); string(n) != "21" {
		t.Errorf("n is %s, want 21", n)
	}
}

func TestForkIsNoticed(t *testing.T) {
	t.Parallel()
	a, b, c := newTestRegion(1), newTestRegion(1), newTestRegion(2)
	for i, r := range []*Region{a, b} {
		update(t, r, func(tx *Tx) error { tx.Set("k", []byte(fmt.Sprint(i)), false); return nil })
		for _, msg := range r.TakePush() {
			if _, err := c.Push(msg, testNow); err != nil {
				t.Fatal(err)
			}
		}
	}
	if c.Stats().Forks != 1 {
		t.Errorf("%d forks, want 1", c.Stats().Forks)
	}
}

// TestForkIsMended: two lives under one origin, of equal length, so that neither knows more than the other.
func TestForkIsMended(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(1)
	for i, r := range []*Region{a, b} {
		update(t, r, func(tx *Tx) error {
			for k := range 50 {
				tx.Set(fmt.Sprint("same", k), []byte("v"), false)
			}
			tx.Set("k", []byte(fmt.Sprint("life ", i)), false)
			tx.Set(fmt.Sprint("only", i), []byte("v"), false)
			return nil
		})
	}
	c, d := newTestRegion(2), newTestRegion(3)
	pullAll(t, c, a, 1<<20)
	pullAll(t, d, b, 1<<20)
	if !c.Context().Equal(d.Context()) || c.Digest() == d.Digest() {
		t.Fatal("no fork")
	}
	mended := scrub(t, c, d)
	if mended == 0 {
		t.Fatal("nothing was mended")
	}
	for range 2 {
		pullAll(t, c, d, 1<<20)
		pullAll(t, d, c, 1<<20)
	}
	same(t, c, d)
	v := c.View(testNow)
	if n := len(v.Siblings("k")); n != 2 {
		t.Errorf("k has %d values, want both", n)
	}
	if v.Len() != 53 {
		t.Errorf("%d entries, want 53", v.Len())
	}
	if scrub(t, c, d) != 0 {
		t.Error("there is more to mend")
	}
}

// scrub compares two replicas and gives what both wrote again.
func scrub(t testing.TB, asker, answerer *Region) int {
	t.Helper()
	s, x := answerer.NewScrub(), asker.NewScrubber()
	for msg := s.Next(); msg != nil; msg = s.Next() {
		if err := x.Merge(msg, testNow); err != nil {
			t.Fatal(err)
		}
		if err := s.Reply(x.TakeReply(), testNow); err != nil {
			t.Fatal(err)
		}
	}
	report, done := x.Done()
	if !done || s.Waiting() {
		t.Fatal("the scrub did not end")
	}
	for _, r := range []*Region{asker, answerer} {
		if err := r.Audit(); err != nil {
			t.Fatal(err)
		}
	}
	return report.Mended + s.Report().Mended
}

// TestScrubFindsAFlippedBit: many values rot on one side.
func TestScrubFindsAFlippedBit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 40, 900} {
		a, b := newTestRegion(1), newTestRegion(2)
		update(t, a, func(tx *Tx) error {
			for k := range 2000 {
				tx.Set(fmt.Sprint("k", k), []byte("value"), false)
			}
			return nil
		})
		pullAll(t, b, a, 1<<20)
		for k := range n {
			c := b.lookup(fmt.Sprint("k", k)).cell(CellValue, "")
			b.digest ^= b.siblingHash(c, &c.sibs[0])
			copy(c.sibs[0].val, "valve")
			b.digest ^= b.siblingHash(c, &c.sibs[0])
		}
		if mended := scrub(t, b, a); mended != 2*n {
			t.Errorf("%d flipped: %d written again, want both sides of each", n, mended)
		}
		pullAll(t, b, a, 1<<20)
		pullAll(t, a, b, 1<<20)
		same(t, a, b)
	}
}

func hello(t testing.TB, r *Region) *Seen {
	t.Helper()
	s, err := DecodeHello(r.Hello())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWritesGoOnAfterALostReplica: a node that gave its replica up, and makes a new one in the same start, uses no dot twice, and is
// not taken for one that was rolled back.
func TestWritesGoOnAfterALostReplica(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	set := func(r *Region, key, val string) {
		update(t, r, func(tx *Tx) error { tx.Set(key, []byte(val), false); return nil })
	}
	set(a, "x", "1")
	set(a, "y", "1")
	pullAll(t, b, a, 1<<20)
	again := newTestRegion(1)
	again.Wrote(a.OwnTop())
	set(again, "z", "2") // before it has seen its own earlier writes
	pullAll(t, again, b, 1<<20)
	pullAll(t, b, again, 1<<20)
	same(t, again, b)
	if n := b.Context()[again.Self()]; n.Base != 3 || len(n.Above) > 0 {
		t.Errorf("seen of its writes: %v, want 1 to 3", n)
	}
}
