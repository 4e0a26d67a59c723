package crdt

import (
	"fmt"
	"math"
	"testing"
)

// The share grows with each chunk, goes on where a broken pull ended, and is 1 at the end.
func TestCoveredGrowsToOne(t *testing.T) {
	t.Parallel()
	a := NewRegion(Config{Name: "r", Self: NewOrigin("a", Nonce{1})})
	b := NewRegion(Config{Name: "r", Self: NewOrigin("b", Nonce{2})})
	_ = a.Update(1, func(tx *Tx) error {
		for i := range 2000 {
			tx.Set(fmt.Sprint(i), make([]byte, 100), false)
		}
		return nil
	})
	if got := b.Covered(a.Context()); got != 0 {
		t.Errorf("before the pull: %v", got)
	}
	last := 0.0
	for session := 0; last < 1; session++ {
		seen, err := DecodeHello(b.Hello())
		if err != nil {
			t.Fatal(err)
		}
		rc, pull := b.NewReceiver(), a.NewPull(seen)
		for range 4 { // then it breaks off
			msg := pull.Next(5000)
			if msg == nil {
				break
			}
			if err := rc.Merge(msg, 1); err != nil {
				t.Fatal(err)
			}
			now := b.Covered(a.Context())
			if now < last || now > 1 || math.IsNaN(now) {
				t.Fatalf("session %d: %v after %v", session, now, last)
			}
			last = now
		}
		if session > 100 {
			t.Fatal("it does not end")
		}
	}
	_ = b.Update(2, func(tx *Tx) error { tx.Set("more", nil, false); return nil })
	if got := a.Covered(b.Context()); got != 0 {
		t.Errorf("a lacks one write everywhere, and covers %v", got)
	}
}
