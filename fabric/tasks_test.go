package fabric

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/test/bubble"
)

// A pull that takes long holds up others no longer than its turn, and nobody sends again what it is bringing.
func TestLongPullIsNotDoubled(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const keys, size = 50, 100_000
		m := NewMesh(1)
		a, c := node(t, m, "a"), node(t, m, "c")
		r := region(t, a, "default")
		for i := range keys {
			set(t, r, fmt.Sprint(i), string(make([]byte, size)))
		}
		time.Sleep(5 * time.Second)
		sameState(t, r, region(t, c, "default"))
		m.SetRate(200 << 10) // 24 s
		m.SetLoss(1)
		b := node(t, m, "b")
		time.Sleep(pullTurn / 2)
		for _, f := range []*Fabric{a, c} {
			set(t, region(t, f, "of-"+f.cfg.Name), "k", "v")
		}
		time.Sleep(pullTurn)
		if got := get(t, region(t, b, "of-a"), "k") + get(t, region(t, b, "of-c"), "k"); got == "" {
			t.Error("other regions wait for the large one")
		}
		time.Sleep(time.Minute)
		sameState(t, r, region(t, b, "default"))
		if got := b.SyncStats().PullBytes; got > keys*size*11/10 {
			t.Errorf("b pulled %d bytes for %d", got, keys*size)
		}
		b.mesh.tasks.mu.Lock()
		defer b.mesh.tasks.mu.Unlock()
		if n := len(b.mesh.tasks.open); n > 0 {
			t.Errorf("%d regions are still being brought", n)
		}
	})
}

// Whose turn is next: what is urgent, then who was not asked, then who is near.
func TestTurnsAreOrdered(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var ts turns
		first, err := ts.take(t.Context(), &turn{})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 8)
		for _, w := range []struct {
			name string
			turn
		}{
			{"far", turn{why: becauseTime, rtt: 90 * time.Millisecond}},
			{"near", turn{why: becauseTime, rtt: 9 * time.Millisecond}},
			{"asked", turn{why: becauseTime, asked: true}},
			{"gap", turn{why: becauseGap, asked: true}},
			{"away", turn{why: becauseConnected}},
		} {
			go func() {
				give, err := ts.take(t.Context(), &w.turn)
				if err != nil {
					t.Error(err)
				}
				got <- w.name
				time.Sleep(time.Second)
				give()
				give()
			}()
		}
		synctest.Wait()
		first()
		for _, want := range []string{"away", "gap", "near", "far", "asked"} {
			if name := <-got; name != want {
				t.Errorf("%s had its turn before %s", name, want)
			}
		}
		time.Sleep(time.Minute)
		ts.mu.Lock()
		defer ts.mu.Unlock()
		if ts.taken || len(ts.waiting) > 0 {
			t.Error("the turn is lost")
		}
	})
}
