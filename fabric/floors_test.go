package fabric

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// A node that was away while ghosts were forgotten takes three round trips, however many regions there are; what was removed
// stays removed, and what it wrote meanwhile is kept.
func TestPullBelowFloorsTakesThreeRoundTrips(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const regions, keys, removed = 20, 600, 100
		m := NewMesh(1)
		a := nodeWith(t, m, "a", Config{Seed: 1, MaxGhosts: 4})
		b := nodeWith(t, m, "b", Config{Seed: 2, MaxGhosts: 4})
		each := func(fn func(ra, rb *Region)) {
			for i := range regions {
				fn(region(t, a, fmt.Sprint("r", i)), region(t, b, fmt.Sprint("r", i)))
			}
		}
		each(func(ra, _ *Region) {
			if err := ra.Update(t.Context(), func(tx *crdt.Tx) error {
				for k := range keys {
					tx.Set(fmt.Sprint(k), []byte("v"), false)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		})
		time.Sleep(5 * time.Second)
		each(func(ra, rb *Region) { sameState(t, ra, rb) })
		m.Cut("a", "b")
		each(func(ra, rb *Region) {
			for k := range removed {
				if err := ra.Update(t.Context(), func(tx *crdt.Tx) error { tx.Del(fmt.Sprint(k)); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			set(t, rb, "of b", "v")
		})
		time.Sleep(5 * time.Second)
		if s := region(t, a, "r3").status(); len(s.Floors) == 0 || s.Ghosts > 4 {
			t.Fatalf("a forgot nothing: %d ghosts, floors %v", s.Ghosts, s.Floors)
		}
		m.SetLoss(1)
		m.Heal("a", "b")
		synctest.Wait()
		each(func(ra, rb *Region) {
			if rb.status().Entries != keys-removed+1 {
				t.Errorf("%s: b has %d entries, want %d", rb.name, rb.status().Entries, keys-removed+1)
			}
		})
		rep := b.SyncStats().LastPull
		if rep.Rounds > 3 {
			t.Errorf("b's pull took %d round trips", rep.Rounds)
		}
		time.Sleep(5 * time.Second)
		each(func(ra, rb *Region) { sameState(t, ra, rb) })
		t.Logf("%d regions, %d removed in each: %d bytes in, %d out, %d round trips",
			regions, removed, rep.BytesIn, rep.BytesOut, rep.Rounds)
	})
}

// An exchange below floors that is cut off anywhere, again and again, ends well.
func TestPullBelowFloorsSurvivesCuts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := nodeWith(t, m, "a", Config{Seed: 1, MaxGhosts: 4})
		b := nodeWith(t, m, "b", Config{Seed: 2, MaxGhosts: 4})
		ra, rb := region(t, a, "default"), region(t, b, "default")
		for k := range 1000 {
			set(t, ra, fmt.Sprint(k), string(make([]byte, 1000)))
		}
		time.Sleep(5 * time.Second)
		sameState(t, ra, rb)
		m.Cut("a", "b")
		for k := range 500 {
			if _, err := RegisterOf[string](ra, fmt.Sprint(k)).Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			set(t, ra, fmt.Sprint("new ", k), string(make([]byte, 1000)))
		}
		time.Sleep(3 * time.Second)
		m.SetLoss(1)
		m.SetRate(64 << 10)
		for i := range 40 {
			m.Heal("a", "b")
			time.Sleep(time.Duration(1+i*37%300) * time.Millisecond)
			m.Cut("a", "b")
			time.Sleep(10 * time.Millisecond)
		}
		m.SetRate(0)
		m.Heal("a", "b")
		time.Sleep(5 * time.Second)
		sameState(t, ra, rb)
		if n := rb.status().Entries; n != 1000 {
			t.Errorf("%d entries", n)
		}
	})
}
