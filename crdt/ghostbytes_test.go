package crdt

import (
	"fmt"
	"strings"
	"testing"
)

// TestGhostBytes: the oldest removes go when they take more than they may, and leave a floor.
func TestGhostBytes(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), MaxGhostBytes: limit})
	for i := range 1000 {
		key := fmt.Sprint(strings.Repeat("k", 200), i)
		update(t, r, func(tx *Tx) error { tx.Set(key, []byte("v"), false); return nil })
		update(t, r, func(tx *Tx) error { tx.Del(key); return nil })
	}
	if !r.OverBudget() {
		t.Fatalf("%d bytes of ghosts are not over a budget of %d", r.Memory().Ghost, limit)
	}
	r.Tick(testNow)
	if got := r.Memory().Ghost; r.OverBudget() || got > limit || got < limit/4 || r.Floors()[r.Self()] == 0 {
		t.Errorf("%d bytes of ghosts after a tick, budget %d, floors %v", got, limit, r.Floors())
	}
	mustAudit(t, r)
}
