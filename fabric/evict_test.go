package fabric

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
	"github.com/edgemem/edgemem/tiers/evict"
)

const (
	smallBudget  = 2 << 20
	smallReserve = smallBudget / 8
)

// evicting opens a node of its own with a small budget on a disk.
func evicting(t *testing.T, d *storetest.Disk, c Config) *Fabric {
	t.Helper()
	store, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	c.Name, c.Storage, c.MemoryBudget, c.MemoryReserve = "a", store, smallBudget, smallReserve
	f, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// valueOf gives some 700 to 1,200 bytes that do not compress.
func valueOf(i, round int) string {
	rng := rand.New(rand.NewPCG(uint64(i), uint64(round)))
	b := make([]byte, 700+i%500)
	for k := range b {
		b[k] = byte(rng.Uint32())
	}
	return string(b)
}

// writeFour writes four times the budget, and tells how many keys that are.
func writeFour(t *testing.T, r *Region) (keys int) {
	t.Helper()
	for size := 0; size < 4*smallBudget; keys++ {
		v := valueOf(keys, 0)
		set(t, r, fmt.Sprint("k", keys), v)
		size += len(v)
		if used := r.f.Memory().Used; used > smallBudget {
			t.Fatalf("after %d writes %d bytes are used of %d", keys, used, smallBudget)
		}
	}
	return keys
}

// TestARegionOfFourBudgets: writes of four times the budget are taken, all can be read, overwritten and removed, before and after a restart,
// within the budget.
func TestARegionOfFourBudgets(t *testing.T) {
	t.Parallel()
	for i, policy := range evict.Names() {
		if policy == evictNone || testing.Short() && i > 0 { // the race detector makes minutes of them
			continue
		}
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			bubble.Test(t, func(t *testing.T) {
				d := &storetest.Disk{}
				f := evicting(t, d, Config{Eviction: policy})
				r := region(t, f, "default")
				n := writeFour(t, r)
				for i := range n {
					if got := get(t, r, fmt.Sprint("k", i)); got != valueOf(i, 0) {
						t.Fatalf("k%d is %.20q, want %.20q", i, got, valueOf(i, 0))
					}
				}
				for i := range n / 2 {
					set(t, r, fmt.Sprint("k", i), valueOf(i, 1))
				}
				s := f.Eviction()
				if s.Away < n/2 || s.Evicted == 0 || s.Faults == 0 || s.Returned == 0 || !s.Listing || s.Lost > 0 {
					t.Errorf("%d keys: %+v", n, s)
				}
				if m := f.Memory(); m.Refused > 0 || m.Used > smallBudget-smallReserve {
					t.Errorf("%+v", m)
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				f = evicting(t, d, Config{Eviction: policy})
				r = region(t, f, "default")
				time.Sleep(3 * time.Second)
				if m, s := f.Memory(), f.Eviction(); m.Used > smallBudget-smallReserve || s.Away < n/2 {
					t.Errorf("after a restart: %+v, %+v", m, s)
				}
				seen := 0
				for i := range n {
					want := valueOf(i, 0)
					if i < n/2 {
						want = valueOf(i, 1)
					}
					if got := get(t, r, fmt.Sprint("k", i)); got == want {
						seen++
					}
				}
				if seen != n {
					t.Errorf("after a restart %d of %d read back", seen, n)
				}
				for i := range n {
					if _, err := RegisterOf[string](r, fmt.Sprint("k", i)).Delete(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(10 * time.Second)
				if s := f.Eviction(); s.Away != 0 {
					t.Errorf("when all was removed: %+v", s)
				}
				r.mu.Lock()
				err := r.core.Audit()
				r.mu.Unlock()
				if err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestNoEviction: without it, or without a Storage that reads single records, writes are refused as before.
func TestNoEviction(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		f := evicting(t, &storetest.Disk{}, Config{Eviction: evictNone})
		fillUp(t, region(t, f, "default"), strings.Repeat("v", 1000))
		if s := f.Eviction(); s.Away != 0 || s.Policy != evictNone {
			t.Errorf("%+v", s)
		}
	})
	if _, err := Open(t.Context(), Config{Name: "a", Eviction: "fifo"}); err == nil || !strings.Contains(err.Error(), "s3fifo") {
		t.Errorf("a policy that does not exist: %v", err)
	}
}

// TestNothingMoreLeaves: values too short to leave fill the memory, and then writes are refused, not held up.
func TestNothingMoreLeaves(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		f := evicting(t, &storetest.Disk{}, Config{})
		r := region(t, f, "default")
		fillUp(t, r, "short")
		start := time.Now()
		for i := range 100 {
			if err := RegisterOf[string](r, fmt.Sprint("more", i)).Set(t.Context(), "short"); !errors.Is(err, ErrMemoryFull) {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > 10*evictPatience {
			t.Errorf("100 refusals take %v", took)
		}
		if !f.Eviction().Exhausted {
			t.Errorf("%+v", f.Eviction())
		}
	})
}

// TestPeersOfANodeThatEvicts: values that left go to peers, and the peers' come.
func TestPeersOfANodeThatEvicts(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		store, _ := (&storetest.Disk{}).Open()
		a := nodeWith(t, m, "a", Config{Seed: 1, Storage: store, MemoryBudget: smallBudget, MemoryReserve: smallReserve})
		ra := region(t, a, "default")
		n := writeFour(t, ra)
		b := node(t, m, "b")
		rb := region(t, b, "default")
		time.Sleep(time.Minute)
		sameState(t, ra, rb)
		for i := range n {
			set(t, rb, fmt.Sprint("b", i), valueOf(i, 2))
			if i%100 == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Minute)
		sameState(t, ra, rb)
		if m := a.Memory(); m.Used > smallBudget {
			t.Errorf("%+v", m)
		}
		for i := range n {
			if get(t, ra, fmt.Sprint("b", i)) != valueOf(i, 2) || get(t, rb, fmt.Sprint("k", i)) != valueOf(i, 0) {
				t.Fatalf("%d differs", i)
			}
		}
	})
}

// TestUnreadableValuesAreToldAndMended: a read fails with a clear error, and a scrub has the peer write the value again.
func TestUnreadableValuesAreToldAndMended(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		d := &storetest.Disk{}
		store, _ := d.Open()
		a := nodeWith(t, m, "a", Config{Seed: 1, Storage: store, MemoryBudget: smallBudget, MemoryReserve: smallReserve})
		b := node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		n := writeFour(t, ra)
		time.Sleep(time.Minute)
		sameState(t, ra, rb)
		d.Blind(rust{})
		bad := 0
		for i := range n {
			v, err := RegisterOf[string](ra, fmt.Sprint("k", i)).Get()
			switch {
			case err == nil && v == valueOf(i, 0):
			case errors.Is(err, crdt.ErrUnreadable) && strings.Contains(err.Error(), fmt.Sprintf("key %q", fmt.Sprint("k", i))) && strings.Contains(err.Error(), "rust"):
				bad++
			default:
				t.Fatalf("k%d: %.20q, %v", i, v, err)
			}
		}
		if bad == 0 || a.Eviction().Unreadable == 0 {
			t.Fatalf("%d could not be read, %+v", bad, a.Eviction())
		}
		var found []byte
		err := ra.Update(t.Context(), func(tx *crdt.Tx) error {
			for i := range n {
				_, _, _ = tx.Get(fmt.Sprint("k", i))
			}
			return nil
		})
		if !errors.Is(err, crdt.ErrUnreadable) || found != nil {
			t.Errorf("an update that reads: %v", err)
		}
		rep, err := a.Scrub(t.Context(), DefaultRegion)
		if err != nil || len(rep.Findings) == 0 {
			t.Errorf("%+v, %v", rep, err)
		}
		d.Blind(nil)
		time.Sleep(time.Minute)
		if s := a.Eviction(); s.Lost > 0 {
			t.Errorf("%+v", s)
		}
		sameState(t, ra, rb)
		for i := range n {
			if get(t, ra, fmt.Sprint("k", i)) != valueOf(i, 0) {
				t.Fatalf("k%d is not mended", i)
			}
		}
	})
}

// rust is what a disk says of a record that is damaged.
type rust struct{}

func (rust) Error() string      { return "rust" }
func (rust) DamagedKey() []byte { return nil }

// TestAReadThatFailsForTheMoment: what must be written with a value that cannot be read just now waits, a writer is told, a scrub calls
// nothing lost, and all of it is committed when the disk can be read again.
func TestAReadThatFailsForTheMoment(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		d := &storetest.Disk{}
		store, _ := d.Open()
		a := nodeWith(t, m, "a", Config{Seed: 1, Storage: store, MemoryBudget: smallBudget, MemoryReserve: smallReserve})
		b := node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		m.Cut("a", "b")
		n := writeFour(t, ra)
		time.Sleep(time.Minute)
		for i := range n {
			set(t, rb, fmt.Sprint("k", i), "of b")
		}
		tooMany := errors.New("too many open files")
		d.Blind(tooMany)
		m.Heal("a", "b")
		time.Sleep(time.Minute) // the siblings of b join those that are on disk alone
		if s := a.Eviction(); s.Away == 0 || s.Lost > 0 {
			t.Fatalf("%+v", s)
		}
		c, err := ra.Apply(func(tx *crdt.Tx) error { tx.Set("new", []byte("v"), false); return nil })
		onDisk := c.Sync
		if errors.Is(err, ErrMemoryFull) { // what joined cannot leave memory, and may have filled it
			onDisk, err = a.Sync, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := onDisk(t.Context()); !errors.Is(err, ErrNotDurable) || !errors.Is(err, tooMany) || !strings.Contains(err.Error(), "try again") {
			t.Errorf("a writer that waits for the disk: %v", err)
		}
		if _, err := a.Scrub(t.Context(), DefaultRegion); err != nil && !errors.Is(err, tooMany) {
			t.Error(err)
		}
		if s := a.Eviction(); s.Lost > 0 {
			t.Errorf("after a scrub: %+v", s)
		}
		d.Blind(nil)
		time.Sleep(time.Minute)
		sameState(t, ra, rb)
		ra.mu.RLock()
		dirty := ra.core.Dirty()
		ra.mu.RUnlock()
		if s := a.Eviction(); s.Lost > 0 || dirty {
			t.Errorf("the disk can be read again: dirty %v, %+v", dirty, s)
		}
		for i := range n {
			var siblings int
			if err := ra.View(func(v *crdt.View) { siblings = len(v.Siblings(fmt.Sprint("k", i))) }); err != nil || siblings != 2 {
				t.Fatalf("k%d has %d siblings, %v", i, siblings, err)
			}
		}
	})
}

// TestMapsLeave: fields do, single fields come back, and a whole map is read from disk.
func TestMapsLeave(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		f := evicting(t, &storetest.Disk{}, Config{})
		r := region(t, f, "default")
		m := MapOf[string](r, "m")
		n := 4 * smallBudget / len(valueOf(1000, 0))
		for i := range n {
			if err := m.Set(t.Context(), fmt.Sprint("f", i), valueOf(i, 0)); err != nil {
				t.Fatal(err)
			}
		}
		before := f.Eviction()
		seen := 0
		for field, err := range m.All() {
			var i int
			if _, bad := fmt.Sscanf(field.Name, "f%d", &i); err != nil || bad != nil || field.Value != valueOf(i, 0) {
				t.Fatalf("%q is %.20q, %v", field.Name, field.Value, err)
			}
			seen++
		}
		after := f.Eviction()
		if seen != n || after.Returned != before.Returned || after.Faults-before.Faults < uint64(before.Away)*9/10 {
			t.Errorf("%d of %d fields; %+v, then %+v", seen, n, before, after)
		}
		if v, err := m.Get("f0"); err != nil || v != valueOf(0, 0) {
			t.Errorf("f0 is %.20q, %v", v, err)
		}
		err := r.View(func(v *crdt.View) {
			if b, _, err := v.MapGet("m", "f1"); err != nil || !bytes.Equal(b, []byte(valueOf(1, 0))) {
				t.Errorf("f1 is %.20q, %v", b, err)
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
}
