package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// shownAt reads a counter that must be there.
func shownAt(t *testing.T, b Bounded) crdt.Bounded {
	t.Helper()
	shown, err := b.Get()
	if err != nil {
		t.Fatal(err)
	}
	return shown
}

// TestBoundedAsks: a node that is short of rights gets some of those of another, and no more is spent than there was.
func TestBoundedAsks(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := BoundedOf(region(t, node(t, m, "a"), "r"), "seats"), BoundedOf(region(t, node(t, m, "b"), "r"), "seats")
		if err := a.Create(t.Context(), 100, 0, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		_, err := b.Add(t.Context(), -10)
		var short *crdt.RightsError
		if !errors.As(err, &short) || *short != (crdt.RightsError{Want: 10, All: 100}) {
			t.Fatalf("without rights: %v", err)
		}
		time.Sleep(time.Second)
		if got := shownAt(t, b); got.Here != 50 {
			t.Errorf("%+v: half of what a had was to come", got)
		}
		if err := b.Reserve(t.Context(), 90); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Add(t.Context(), -90); err != nil {
			t.Fatal(err)
		}
		if err := b.Reserve(t.Context(), 11); !errors.Is(err, crdt.ErrNoRights) {
			t.Errorf("more than there is: %v", err)
		}
		time.Sleep(time.Second)
		got := shownAt(t, a)
		if got.Value != 10 || got.Here+shownAt(t, b).Here != 10 {
			t.Errorf("%+v and %+v", got, shownAt(t, b))
		}
		held, err := a.Rights()
		if err != nil || len(held) == 0 || held[0].Node != "a" && held[0].Node != "b" {
			t.Errorf("%+v %v", held, err)
		}
		if n, err := b.Give(t.Context(), "a", 1000); err != nil || n != shownAt(t, b).Here+n {
			t.Errorf("gives %d, %v", n, err)
		}
		if _, err := a.Give(t.Context(), "nobody", 1); !errors.Is(err, ErrNoNode) {
			t.Errorf("to nobody: %v", err)
		}
	})
}

// TestBoundedPartition: both sides go on with what they hold, and what the limit allows is the sum of it.
func TestBoundedPartition(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := BoundedOf(region(t, node(t, m, "a"), "r"), "seats"), BoundedOf(region(t, node(t, m, "b"), "r"), "seats")
		if err := a.Create(t.Context(), 20, 0, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := b.Reserve(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		m.Cut("a", "b")
		sold := 0
		for _, side := range []Bounded{a, b} {
			for range 20 {
				if _, err := side.Add(t.Context(), -1); err == nil {
					sold++
				}
			}
		}
		if sold != 20 {
			t.Errorf("%d of 20 sold", sold)
		}
		time.Sleep(time.Minute) // wants are given up
		m.Heal("a", "b")
		time.Sleep(time.Minute)
		if shownAt(t, a).Value != 0 || shownAt(t, b).Value != 0 {
			t.Errorf("%+v %+v", shownAt(t, a), shownAt(t, b))
		}
		for _, x := range []Bounded{a, b} {
			x.r.f.broker.mu.Lock()
			if n := len(x.r.f.broker.wants); n > 0 {
				t.Errorf("%d wants are left", n)
			}
			x.r.f.broker.mu.Unlock()
		}
	})
}

// TestBoundedSells: buyers at five nodes of a chain, whose links lose half of what is pushed, get all that there is and no more.
func TestBoundedSells(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(3)
		m.SetLoss(0.5)
		const nodes, stock = 5, 200
		var all []Bounded
		for i := range nodes {
			f := node(t, m, crdt.NodeID(fmt.Sprint("n", i)))
			all = append(all, BoundedOf(region(t, f, "r"), "stock"))
			for j := range i - 1 {
				m.Cut(crdt.NodeID(fmt.Sprint("n", i)), crdt.NodeID(fmt.Sprint("n", j)))
			}
		}
		if err := all[0].Create(t.Context(), stock, 0, false); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		var sold atomic.Int64
		var wg sync.WaitGroup
		for i, b := range all {
			wg.Go(func() {
				for ctx.Err() == nil && sold.Load() < stock {
					if _, err := b.Add(ctx, int64(-1-i%2)); err == nil {
						sold.Add(int64(1 + i%2))
						continue
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		cancel()
		if sold.Load() != stock {
			t.Errorf("%d of %d sold", sold.Load(), stock)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for i, b := range all {
			if got := shownAt(t, b); got.Value != 0 {
				t.Errorf("node %d shows %+v", i, got)
			}
		}
	})
}

// TestBoundedHandOver: an orderly end leaves its rights to a node that can use them, also to one that only read.
func TestBoundedHandOver(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		fa := node(t, m, "a")
		a := BoundedOf(region(t, fa, "r"), "seats")
		old := nodeWith(t, m, "a2", Config{Tier: "cloud", Seed: 7, lack: canBounded}) // it would come first
		b := BoundedOf(region(t, node(t, m, "b"), "r"), "seats")
		if err := a.Create(t.Context(), 30, 10, false); err != nil {
			t.Fatal(err)
		}
		if err := RegisterOf[string](region(t, old, "r"), "k").Set(t.Context(), "v"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := a.Add(t.Context(), -5); err != nil {
			t.Fatal(err)
		}
		if err := fa.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := shownAt(t, b); got != (crdt.Bounded{Value: 25, Limit: 10, Here: 15}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestBoundedRenew: rights that ended with a crash are there again when the counter is begun anew.
func TestBoundedRenew(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		f := node(t, NewMesh(1), "a")
		b := BoundedOf(region(t, f, "r"), "seats")
		if _, err := b.Get(); !errors.Is(err, crdt.ErrNoBounded) {
			t.Errorf("%v", err)
		}
		if err := b.Create(t.Context(), 3, 5, true); err != nil {
			t.Fatal(err)
		}
		if shown, err := b.Renew(t.Context()); err != nil || shown != (crdt.Bounded{Value: 3, Limit: 5, Ceiling: true, Here: 2}) {
			t.Errorf("%+v %v", shown, err)
		}
		if found, err := b.Delete(t.Context()); !found || err != nil {
			t.Errorf("%v %v", found, err)
		}
	})
}
