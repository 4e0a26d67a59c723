package fabric

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// What was read lately comes first, long before the pull that brings it is done.
func TestWantedEntriesComeFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const keys, size = 2000, 5000 // 10 MB
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		synctest.Wait()
		m.Cut("a", "b")
		for i := range keys {
			set(t, ra, fmt.Sprint(i), noise(i, size))
		}
		time.Sleep(time.Second)
		for i := range 40 {
			if get(t, rb, fmt.Sprint(i*31)) != "" {
				t.Fatal("b has it already")
			}
		}
		m.SetRate(100 << 10) // 100 s
		m.SetLoss(1)
		m.Heal("a", "b")
		time.Sleep(10 * time.Second)
		came := 0
		for i := range 40 {
			if get(t, rb, fmt.Sprint(i*31)) != "" {
				came++
			}
		}
		list := b.SyncStats().Pulling
		if len(list) != 1 || list[0].Covered > 0.2 {
			t.Fatalf("the pull: %+v", list)
		}
		t.Logf("%d of 40 wanted entries came when %.0f %% of the space had", came, 100*list[0].Covered)
		if came < 35 { // some share a place with others
			t.Errorf("%d of 40 wanted entries came when %.0f %% of the space had", came, 100*list[0].Covered)
		}
	})
}

// A small region remembers nothing, and hellos stay short.
func TestSmallRegionsRememberNoReads(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := node(t, NewMesh(1), "a")
		r := region(t, f, "default")
		set(t, r, "k", "v")
		for i := range readsKept {
			get(t, r, fmt.Sprint(i))
		}
		if w := r.wanted(readsKept); w != nil || r.reads.Load() != nil {
			t.Errorf("%d are wanted", len(w))
		}
	})
}

// BenchmarkGetRemembered is what remembering reads costs them.
func BenchmarkGetRemembered(b *testing.B) {
	for _, kept := range []bool{false, true} {
		for _, n := range []int{1, 100_000} {
			b.Run(fmt.Sprintf("%dread,kept=%v", n, kept), func(b *testing.B) {
				c := Config{Name: "bench"}
				if kept {
					c.Transport = NewMesh(1).Node("bench")
				}
				f, err := Open(b.Context(), c)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = f.Close() }()
				r, err := f.Region("default")
				if err != nil {
					b.Fatal(err)
				}
				keys, ctx := benchKeys(100_000), context.Background()
				for _, k := range keys {
					_ = r.Update(ctx, func(tx *crdt.Tx) error { tx.Set(k, nil, false); return nil })
				}
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i += 7919 {
						r.View(func(v *crdt.View) { _, _, _ = v.Get(keys[i%n]) })
					}
				})
			})
		}
	}
}
