package crdt

import "testing"

// TestForgottenEndOfChain: b takes out a's reset of its contribution, which a remove had ended, after the remove's ghost was
// forgotten. a has not seen the remove, so it still needs the reset.
func TestForgottenEndOfChain(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	incr := func(delta int64) {
		update(t, b, func(tx *Tx) error { _, err := tx.MapIncr("k", "f", delta); return err })
	}
	pushTo := func(to *Region, msgs [][]byte) {
		for _, msg := range msgs {
			if _, err := to.Push(msg, testNow); err != nil {
				t.Fatal(err)
			}
		}
	}
	incr(-17)
	pushTo(a, b.TakePush())
	incr(2)
	late := b.TakePush()
	update(t, a, func(tx *Tx) error { tx.Set("k", []byte("v"), true); return nil })
	update(t, b, func(tx *Tx) error { tx.Del("k"); return nil })
	b.TakePush() // lost
	b.Prune(b.Self(), b.OwnTop())
	pullAll(t, b, a, 1<<20)
	pushTo(a, late)
	pushTo(a, b.TakePush())
	if val, ok, err := a.View(testNow).MapGet("k", "f"); err != nil || !ok || string(val) != "2" {
		t.Fatalf("the field shows %q %v %v, want 2: the SET has seen the -17", val, ok, err)
	}
	pullAll(t, a, b, 1<<20)
	pullAll(t, b, a, 1<<20)
	same(t, a, b)
}
