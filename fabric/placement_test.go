package fabric

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// holderNames gives the holders of a region as a node knows them.
func holderNames(t *testing.T, f *Fabric, name string) string {
	t.Helper()
	s, err := f.RegionStatus(name)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range s.Holders {
		names = append(names, h.Name+"/"+h.Tier)
	}
	return strings.Join(names, " ")
}

func announced(f *Fabric, name string) (n int) {
	_ = f.catalogue.View(func(v *crdt.View) {
		_ = v.MapEach(name, func(field string, _ []byte) bool {
			if strings.HasPrefix(field, fieldHolder) {
				n++
			}
			return true
		})
	})
	return n
}

// TestPlacementGoesEverywhere: with the holders, whom a node finds also when they are not reached, and when it met them never.
func TestPlacementGoesEverywhere(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		create(t, a, "maps", RegionConfig{Placement: Placement{Kind: "demand", MinCopies: 2, Tiers: []string{"cloud", "device"}, Labels: map[string]string{"site": "x"}}})
		create(t, a, "usual", RegionConfig{})
		time.Sleep(10 * time.Second)
		want := Placement{Kind: "demand", MinCopies: 2, Tiers: []string{"device", "cloud"}, Labels: map[string]string{"site": "x"}}
		holders := map[string]string{"maps": "a/edge", "usual": "a/edge b/edge", DefaultRegion: "a/edge b/edge"}
		for _, f := range []*Fabric{a, b} {
			if p := region(t, f, "maps").Placement(); !reflect.DeepEqual(p, want) {
				t.Errorf("%s: %+v", f.Node(), p)
			}
			for name, want := range holders {
				if got := holderNames(t, f, name); got != want {
					t.Errorf("%s: holders of %s: %s", f.Node(), name, got)
				}
			}
			if n := announced(f, "maps"); n != 1 {
				t.Errorf("%s: %d nodes say that they hold it", f.Node(), n)
			}
			if n := announced(f, "usual"); n != 0 {
				t.Errorf("%s: %d nodes say that they hold what is everywhere", f.Node(), n)
			}
		}
		region(t, b, "maps").takeUp()
		time.Sleep(time.Minute)
		m.Cut("a", "b")
		time.Sleep(time.Minute)
		if got := holderNames(t, a, "maps"); got != "a/edge b/edge" {
			t.Errorf("partitioned: %s", got)
		}
		if _, err := a.RetireNode(t.Context(), "b", true); err != nil {
			t.Fatal(err)
		}
		if got := holderNames(t, a, "maps"); got != "a/edge" {
			t.Errorf("after b is retired: %s", got)
		}
	})
}

// TestWhoCreatesARegionHoldsIt: alone, however late others hear of it, with entries and without, also after restarts; and an empty copy can be taken.
func TestWhoCreatesARegionHoldsIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		x := newFleet(t, 1, "a", "b", "c")
		early := region(t, x.nodes["b"], "maps") // before it is created
		watched := make(chan error, 1)
		go func() {
			for _, err := range early.Watch(t.Context(), "") {
				watched <- err
			}
		}()
		synctest.Wait()
		create(t, x.nodes["a"], "maps", onDemand)
		set(t, create(t, x.nodes["a"], "full", onDemand), "k", "v")
		time.Sleep(time.Minute)
		if err := <-watched; !errors.Is(err, ErrNotHeld) {
			t.Errorf("who watched before: %v", err)
		}
		x.disks["d"] = &storetest.Disk{}
		x.start("d")
		for range 2 {
			time.Sleep(time.Minute)
			for id, f := range x.nodes {
				for _, name := range []string{"maps", "full"} {
					r := region(t, f, name)
					if got := holderNames(t, f, name); got != "a/edge" || r.Held() != (id == "a") || id != "a" && recordsOf(t, r) != 0 {
						t.Errorf("%s: %s held %v, holders %s, %d records", id, name, r.Held(), got, recordsOf(t, r))
					}
				}
			}
			for _, id := range []crdt.NodeID{"a", "b", "c", "d"} {
				x.restart(id)
			}
		}
		time.Sleep(time.Minute)
		take(t, "maps", x.nodes["c"])
		time.Sleep(time.Minute)
		x.restart("c")
		time.Sleep(time.Minute)
		if got := holderNames(t, x.nodes["d"], "maps"); got != "a/edge c/edge" || !region(t, x.nodes["c"], "maps").Held() {
			t.Errorf("holders: %s", got)
		}
	})
}

// TestWhoHoldsARegionKeepsIt: when it is everywhere no more; who has nothing of it has no copy then.
func TestWhoHoldsARegionKeepsIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		set(t, region(t, a, "maps"), "k", "v")
		time.Sleep(time.Minute)
		m.Cut("a", "c")
		m.Cut("b", "c")
		create(t, b, "maps", onDemand)
		set(t, region(t, c, "bare"), "k", "v")
		create(t, a, "bare", onDemand)
		time.Sleep(time.Minute) // b hears of it before it has something of it
		m.Heal("a", "c")
		m.Heal("b", "c")
		time.Sleep(time.Minute)
		for name, want := range map[string]string{"maps": "a/edge b/edge c/edge", "bare": "a/edge c/edge"} {
			if got := holderNames(t, b, name); got != want {
				t.Errorf("%s: %s", name, got)
			}
		}
		sameState(t, region(t, a, "bare"), region(t, c, "bare"))
	})
}

// TestPlacementsMerge: of fields that two sides of a split changed both are kept, and what no field names stays.
func TestPlacementsMerge(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		create(t, a, "r", RegionConfig{Placement: Placement{Kind: "demand", Tiers: []string{"edge"}, Labels: map[string]string{"k": "v"}}})
		time.Sleep(10 * time.Second)
		m.Cut("a", "b")
		create(t, a, "r", RegionConfig{Placement: Placement{Kind: "pinned"}})
		create(t, b, "r", RegionConfig{Placement: Placement{MinCopies: 3, Labels: map[string]string{}}})
		m.Heal("a", "b")
		time.Sleep(10 * time.Minute)
		for _, f := range []*Fabric{a, b} {
			if p := region(t, f, "r").Placement(); p.Kind != "pinned" || p.MinCopies != 3 || !slices.Equal(p.Tiers, []string{"edge"}) || p.Labels != nil {
				t.Errorf("%s: %+v", f.Node(), p)
			}
		}
		create(t, a, "r", RegionConfig{Placement: Placement{Kind: "everywhere", Tiers: []string{}}})
		if p := region(t, a, "r").Placement(); p.Kind != "everywhere" || p.Tiers != nil {
			t.Errorf("put back: %+v", p)
		}
	})
}

// TestDeletedRegionsLeaveNoHolders: not even where one is announced while the region is deleted elsewhere.
func TestDeletedRegionsLeaveNoHolders(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		create(t, a, "r", RegionConfig{})
		time.Sleep(10 * time.Second)
		m.Cut("a", "b")
		create(t, b, "r", RegionConfig{Placement: Placement{Kind: "demand"}}) // b says that it holds it, beside a's delete
		if err := a.DeleteRegion(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
		m.Heal("a", "b")
		time.Sleep(10 * time.Minute)
		for _, f := range []*Fabric{a, b} {
			if n := announced(f, "r"); n != 0 {
				t.Errorf("%s: %d nodes hold what is no more", f.Node(), n)
			}
		}
	})
}

// TestLabelsAreKnownEverywhere: from a node's first write on, and anew when it starts with others.
func TestLabelsAreKnownEverywhere(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := nodeWith(t, m, "a", Config{Tier: "edge", Seed: 7, Labels: map[string]string{"site": "b", "rack": "7"}})
		b := node(t, m, "b")
		set(t, region(t, a, DefaultRegion), "k", "v")
		time.Sleep(10 * time.Second)
		for _, f := range []*Fabric{a, b} {
			for _, n := range f.Nodes() {
				if got := encodeLabels(n.Labels); n.ID == "a" && got != "rack=7,site=b" || n.ID == "b" && got != "" {
					t.Errorf("%s: labels of %s: %q", f.Node(), n.ID, got)
				}
			}
		}
		if _, err := Open(t.Context(), Config{Labels: map[string]string{"a b": "c"}}); err == nil {
			t.Error("a node with odd labels opens")
		}
	})
}

func TestBadPlacements(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := node(t, NewMesh(1), "a")
		many := map[string]string{}
		for i := range labelsMax + 1 {
			many[fmt.Sprint("k", i)] = "v"
		}
		for _, p := range []Placement{
			{Kind: "nearby"}, {MinCopies: -1}, {MinCopies: copiesMax + 1}, {Tiers: []string{"moon"}}, {Tiers: []string{"edge,cloud"}},
			{Labels: map[string]string{"": "v"}}, {Labels: map[string]string{"k": "a,b"}}, {Labels: map[string]string{"k": strings.Repeat("x", labelMax+1)}}, {Labels: many},
		} {
			if _, err := f.CreateRegion(t.Context(), "r", RegionConfig{Placement: p}); !errors.Is(err, ErrBadPlacement) {
				t.Errorf("%+v: %v", p, err)
			}
		}
	})
}

// FuzzPlacement: whatever a peer writes into the catalogue is read as something that this node could have written, and a placement that
// it does not know as everywhere.
func FuzzPlacement(f *testing.F) {
	f.Add("demand", "2", "edge,cloud", "a=b,c=d")
	f.Add("orbit", "-1", ",,", "=,a=,a=b=c")
	f.Add("\x00", "99999999999999999999", "cloud,cloud", strings.Repeat("a=b,", 100))
	f.Fuzz(func(t *testing.T, kind, copies, tierList, labels string) {
		p := parsePlacement(func(field string) string {
			return map[string]string{fieldPlacement: kind, fieldCopies: copies, fieldTiers: tierList, fieldLabels: labels}[field]
		})
		known := *p
		if known.everywhere() {
			known.Kind = "everywhere"
		}
		if err := known.check(); err != nil {
			t.Fatal(err)
		}
		again := parsePlacement(func(field string) string {
			return map[string]string{fieldPlacement: p.Kind, fieldCopies: fmt.Sprint(p.MinCopies), fieldTiers: strings.Join(p.Tiers, ","), fieldLabels: encodeLabels(p.Labels)}[field]
		})
		if !slices.Equal(again.Tiers, p.Tiers) || !maps.Equal(again.Labels, p.Labels) || again.MinCopies != p.MinCopies {
			t.Fatalf("%+v is read again as %+v", p, again)
		}
	})
}
