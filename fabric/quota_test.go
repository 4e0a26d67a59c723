package fabric

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/bubble"
	"github.com/edgemem/edgemem/tiers/pressure"
)

const testQuota = 100 << 10

// create makes a region with a configuration.
func create(t *testing.T, f *Fabric, name string, rc RegionConfig) *Region {
	t.Helper()
	r, err := f.CreateRegion(t.Context(), name, rc)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fillRegion writes values of 1,000 bytes until one is refused, and gives the error and how many were taken.
func fillRegion(t *testing.T, r *Region, most int) (n int, err error) {
	t.Helper()
	for ; n < most; n++ {
		if err = RegisterOf[string](r, fmt.Sprint("k", n)).Set(t.Context(), strings.Repeat("v", 1000)); err != nil {
			break
		}
	}
	return n, err
}

// TestQuota: a quota refuses local writes on every node, other regions', removes and merges not, and room lets writes in again.
func TestQuota(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra := create(t, a, "tenant", RegionConfig{Quota: testQuota})
		time.Sleep(time.Second)
		rb := region(t, b, "tenant")
		if rb.Quota() != testQuota {
			t.Fatalf("b has a quota of %d", rb.Quota())
		}
		n, err := fillRegion(t, ra, 1000)
		if !errors.Is(err, ErrQuota) || !strings.Contains(err.Error(), `region "tenant" holds`) || n < 60 || n > 100 {
			t.Fatalf("%d writes were taken, then %v", n, err)
		}
		set(t, region(t, a, "default"), "k", "v")
		// b has not everything yet: both fill up what their quota leaves, and have it all after the merge.
		a2 := create(t, a, "apart", RegionConfig{Quota: testQuota})
		m.Cut("a", "b")
		b2 := create(t, b, "apart", RegionConfig{Quota: testQuota})
		fillRegion(t, a2, 1000)
		for i := range 60 {
			set(t, b2, fmt.Sprint("other", i), strings.Repeat("w", 1000))
		}
		m.Heal("a", "b")
		time.Sleep(10 * time.Minute)
		sameState(t, a2, b2)
		if a2.held < testQuota*3/2 {
			t.Errorf("after the merge a holds %d bytes", a2.held)
		}
		if _, err := fillRegion(t, b2, 1); !errors.Is(err, ErrQuota) {
			t.Errorf("a write beyond the quota: %v", err)
		}
		if _, err := RegisterOf[string](a2, "k0").Delete(t.Context()); err != nil {
			t.Errorf("a remove beyond the quota: %v", err)
		}
		create(t, a, "apart", RegionConfig{Quota: Unlimited})
		time.Sleep(time.Second)
		set(t, b2, "more", "v")
		for i := range n {
			if _, err := RegisterOf[string](ra, fmt.Sprint("k", i)).Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		set(t, ra, "again", "v")
	})
}

// TestTermsMerge: what two nodes say of different fields is both kept; of one field all have the later.
func TestTermsMerge(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		create(t, a, "r", RegionConfig{Ack: AckDisk, Consistency: Causal})
		time.Sleep(time.Second)
		m.Cut("a", "b")
		create(t, a, "r", RegionConfig{Quota: 5000, Priority: BestEffort})
		create(t, b, "r", RegionConfig{Reserve: 7000})
		time.Sleep(time.Second)
		create(t, b, "r", RegionConfig{Priority: Guaranteed})
		m.Heal("a", "b")
		time.Sleep(10 * time.Minute)
		for _, f := range []*Fabric{a, b} {
			r := region(t, f, "r")
			if r.Quota() != 5000 || r.Reservation() != 7000 || r.Priority() != Guaranteed || r.Ack() != AckDisk || r.Consistency() != Causal {
				t.Errorf("%s: %+v, %s, %s", f.Node(), r.terms(), r.Ack(), r.Consistency())
			}
			r.mu.RLock()
			s := r.share()
			r.mu.RUnlock()
			if want := (pressure.Claim{Class: pressure.Guaranteed, Quota: 5000, Reservation: 5000}); s != want {
				t.Errorf("%s: share %+v, want %+v", f.Node(), s, want)
			}
		}
	})
}

// TestBadTerms: what cannot be is refused with the reason, and changes nothing.
func TestBadTerms(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := nodeWith(t, NewMesh(1), "a", Config{MemoryBudget: 1000, MemoryReserve: 200})
		create(t, f, "has", RegionConfig{Reserve: 500, Quota: 600})
		for _, c := range []struct {
			name string
			rc   RegionConfig
			why  string
		}{
			{"new", RegionConfig{Reserve: 301}, "does not fit: this node has 800 for writers, of which 500 are reserved"},
			{"has", RegionConfig{Reserve: 601}, "a reservation of 601 bytes is beyond the quota of 600"},
			{"has", RegionConfig{Quota: 499}, "a reservation of 500 bytes is beyond the quota of 499"},
			{"new", RegionConfig{Quota: -2}, "want more than 0"},
			{"new", RegionConfig{Reserve: -2}, "want more than 0"},
			{"new", RegionConfig{Priority: "high"}, `priority "high": want guaranteed, burstable or best-effort`},
		} {
			if _, err := f.CreateRegion(t.Context(), c.name, c.rc); !errors.Is(err, ErrBadTerms) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%+v: %v", c.rc, err)
			}
		}
		if _, err := f.RegionStatus("new"); !errors.Is(err, ErrNoRegion) {
			t.Errorf("a refused region: %v", err)
		}
		create(t, f, "new", RegionConfig{Reserve: 300})
		create(t, f, "has", RegionConfig{Reserve: Unlimited})
		create(t, f, "new", RegionConfig{Reserve: 800})
	})
}
