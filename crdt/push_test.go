package crdt

import (
	"fmt"
	"strings"
	"testing"
)

// TestHotKeyCostsOneWriteAPush: a thousand writes to one key in a window are one, of any type.
func TestHotKeyCostsOneWriteAPush(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(tx *Tx, i int) error{
		"register": func(tx *Tx, i int) error { tx.Set("k", fmt.Append(nil, i), false); return nil },
		"counter":  func(tx *Tx, _ int) error { _, err := tx.Incr("k", 1); return err },
		"member":   func(tx *Tx, _ int) error { _, err := tx.SetAdd("k", "m"); return err },
		"field":    func(tx *Tx, _ int) error { _, err := tx.MapIncr("k", "f", 1); return err },
	} {
		a, b := newTestRegion(1), newTestRegion(2)
		for i := range 1000 {
			update(t, a, func(tx *Tx) error { return write(tx, i) })
		}
		msgs := a.TakePush()
		if len(msgs) != 1 || len(msgs[0]) > 100 {
			t.Fatalf("%s: %d messages, the first %d bytes", name, len(msgs), len(msgs[0]))
		}
		if d, err := decodePush(msgs[0]); err != nil || len(d.ops) != 1 {
			t.Fatalf("%s: %d writes, %v", name, len(d.ops), err)
		}
		if gap, err := b.Push(msgs[0], testNow); gap || err != nil || state(a) != state(b) {
			t.Fatalf("%s: gap %v, %v\n%s\n%s", name, gap, err, state(a), state(b))
		}
	}
}

// TestHotKeysTakeTurns: the cost of a write does not grow with those before it in the window.
func TestHotKeysTakeTurns(t *testing.T) {
	t.Parallel()
	const writes = 50_000
	a, b := newTestRegion(1), newTestRegion(2)
	for i := range writes {
		update(t, a, func(tx *Tx) error {
			tx.Set([]string{"odd", "even"}[i%2], []byte("v"), false)
			_, err := tx.Incr("n", 1)
			return err
		})
	}
	pushTo(t, a, b)
	if pullAll(t, b, a, 1<<20); state(a) != state(b) {
		t.Fatal("unequal")
	}
	mustAudit(t, b)
}

// TestPushWaitsForWhatItCovers: rule 1, in the waiting buffer, whatever the order.
func TestPushWaitsForWhatItCovers(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	var msgs [][]byte
	for i := range 20 {
		update(t, a, func(tx *Tx) error { tx.Set("k", fmt.Append(nil, i), false); return nil })
		msgs = append(msgs, a.TakePush()...)
	}
	for i := len(msgs) - 1; i > 0; i-- {
		if gap, err := b.Push(msgs[i], testNow); err != nil || !gap {
			t.Fatalf("write %d: gap %v, %v", i, gap, err)
		}
	}
	if b.Entries() != 0 || !b.Gaps() {
		t.Fatal("a write was applied before what it covers")
	}
	if gap, err := b.Push(msgs[0], testNow); err != nil || gap || b.Gaps() || state(a) != state(b) {
		t.Fatalf("gap %v, %v\n%s\n%s", gap, err, state(a), state(b))
	}
}

// TestWaitingIsBounded: writes that never become ready cost no more than the bound, by number and by bytes.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 8 << 10} {
		a, b := newTestRegion(1), newTestRegion(2)
		for i := range 2 * waitingMax {
			key := fmt.Sprint(i)
			update(t, a, func(tx *Tx) error { tx.Set(key, []byte("old"), false); return nil })
			a.TakePush() // lost
			update(t, a, func(tx *Tx) error { tx.Set(key, []byte(strings.Repeat("x", size)), false); return nil })
			pushTo(t, a, b)
			if n, bytes := b.Waiting(); n > waitingMax || bytes > waitingMaxSize+size+200 {
				t.Fatalf("%d writes wait, %d bytes", n, bytes)
			}
		}
		if b.Stats().PushDropped == 0 {
			t.Fatal("nothing was dropped")
		}
		pullAll(t, b, a, 1<<16)
		if n, bytes := b.Waiting(); n != 0 || bytes != 0 || state(a) != state(b) {
			t.Fatalf("after the pull %d writes wait, %d bytes", n, bytes)
		}
		mustAudit(t, b)
	}
}

// TestValueTooLargeToPush leaves a gap that a pull closes.
func TestValueTooLargeToPush(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	update(t, a, func(tx *Tx) error {
		tx.Set("small", []byte("v"), false)
		tx.Set("large", make([]byte, MaxValueBytes), false)
		return nil
	})
	gap := false
	for _, msg := range a.TakePush() {
		if len(msg) > maxPushBytes {
			t.Fatalf("a message of %d bytes", len(msg))
		}
		g, err := b.Push(msg, testNow)
		if gap = gap || g; err != nil {
			t.Fatal(err)
		}
	}
	if b.Entries() != 1 || !gap {
		t.Fatalf("%d entries", b.Entries())
	}
	if pullAll(t, b, a, 1<<16); state(a) != state(b) || b.Gaps() {
		t.Fatal("the pull does not close the gap")
	}
}

// TestPushesAreSplit: no message is longer than a frame may be, and together they are the whole.
func TestPushesAreSplit(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	update(t, a, func(tx *Tx) error {
		for i := range 3000 {
			tx.Set(fmt.Sprint("key", i), []byte(strings.Repeat("v", 100)), false)
		}
		return nil
	})
	msgs := a.TakePush()
	for _, msg := range msgs {
		if len(msg) > maxPushBytes {
			t.Fatalf("a message of %d bytes", len(msg))
		}
		if _, err := b.Push(msg, testNow); err != nil {
			t.Fatal(err)
		}
	}
	if len(msgs) < 5 || state(a) != state(b) || a.Outbound() != 0 {
		t.Fatalf("%d messages, %d bytes left", len(msgs), a.Outbound())
	}
}

// TestScopedPushesNeedNoPull: a flush, and the removal of an entry with many cells, apply as soon as what they
// saw is there; what was added beside them stays.
func TestScopedPushesNeedNoPull(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(tx *Tx){
		"flush": func(tx *Tx) { tx.Flush() },
		"drop":  func(tx *Tx) { tx.Del("set") },
	} {
		a, b := newTestRegion(1), newTestRegion(2)
		add := func(r *Region, members ...string) {
			update(t, r, func(tx *Tx) error {
				for _, m := range members {
					if _, err := tx.SetAdd("set", m); err != nil {
						return err
					}
				}
				return nil
			})
		}
		add(a, "1", "2", "3")
		pushTo(t, a, b)
		add(b, "2", "4") // beside the removal
		update(t, a, func(tx *Tx) error { remove(tx); return nil })
		add(a, "5")
		pushTo(t, a, b)
		pushTo(t, b, a)
		var got []string
		for _, m := range []string{"1", "2", "3", "4", "5"} {
			if ok, _ := b.View(testNow).SetHas("set", m); ok {
				got = append(got, m)
			}
		}
		if strings.Join(got, "") != "245" || state(a) != state(b) || b.Gaps() || a.Gaps() {
			t.Fatalf("%s: got %v\n%s\n%s", name, got, state(a), state(b))
		}
		mustAudit(t, a, b)
	}
}
