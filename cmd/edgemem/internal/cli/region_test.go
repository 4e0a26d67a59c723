package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

func TestRegionsAreShownWithWhoIsBehind(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := control.RegionOf(fabric.RegionStatus{
		At: at, Name: "default", Ack: "memory", Consistency: "causal", Loading: true, Entries: 1234567, Bytes: 5 << 20,
		Memory:    fabric.RegionMemory{Held: 9 << 20, Priority: fabric.BestEffort, Quota: 10 << 20, Reserve: 2 << 20, Granted: 1 << 20, Refused: 7, Refuses: "why it is"},
		Placement: "demand", MinCopies: 2, Tiers: []string{"edge", "cloud"}, Labels: map[string]string{"site": "b"},
		Holders: []fabric.Holder{{ID: "p1", Name: "cloud", Tier: "cloud"}, {ID: "p9", Tier: "edge"}},
		Digest:  "0123456789abcdef",
		Context: crdt.Context{crdt.Origin{1}: crdt.Runs{Base: 1000, Above: []crdt.Span{{Lo: 1002, Hi: 2003}}}, crdt.Origin{2}: crdt.Runs{Base: 7}},
		Writers: []fabric.Writer{{Origin: "01000000000000000000000000000000", Node: "p1", Writes: 2002}}, Ended: fabric.Ended{Origins: 1, Writes: 7},
		Complete: fabric.Completeness{UpTo: at.Add(-3 * time.Second), Of: []crdt.NodeID{"p1", "p2"}, Through: []crdt.NodeID{"p3"}, Dark: []crdt.NodeID{"p4"}},
		Lag: map[crdt.NodeID]fabric.Lag{
			"p1": {Writes: 2000, Bytes: 3 << 20, BehindMS: 61_200, AgeMS: 12_300}, "p2": {Missing: 3, AgeMS: 5}, "p3": {AgeMS: -1}, "p4": {AgeMS: 1}},
	})
	names := map[string]string{"p1": "cloud", "p2": "edge", "p3": "new", "p4": "even"}
	var list, one, every strings.Builder
	if err := printRegions(&list, []control.Region{r}, names); err != nil {
		t.Fatal(err)
	}
	if err := printRegion(&one, r, names, false); err != nil {
		t.Fatal(err)
	}
	if err := printRegion(&every, r, names, true); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want string }{
		{list.String(), "default  memory  causal, loading  1,234,567  5.0 MiB  9.0 MiB (90 %) FULL  best-effort, quota 10 MiB, 1.0 MiB of 2.0 MiB reserved here  0123456789ab…  3s ago, 1 through others, 1 dark  cloud lacked 2,000 (3.0 MiB, 1m1s) 12s ago, edge had 3 more just now, new not heard of yet  demand, at least 2, tiers edge,cloud, site=b  2\n"},
		{one.String(), "memory       9.0 MiB (90 %) FULL, best-effort, quota 10 MiB, 1.0 MiB of 2.0 MiB reserved here; 7 writes were refused\n             why it is\n"},
		{one.String(), "placement    demand, at least 2, tiers edge,cloud, site=b\nholders      cloud (cloud), p9 (edge)\n"},
		{one.String(), "0100-0000  cloud  1,000       1 ranges up to 2,003\n"},
		{one.String(), "1 ended    –      7 writes    –\n"},
		{every.String(), "0200-0000  ended  7           –\n"},
		{one.String(), "complete     up to 2026-01-02T03:04:02Z (3s ago) for cloud, edge\n             only what others pass on of new\n             dark: even\n"},
		{one.String(), "cloud  2,000   3.0 MiB  1m1s    0         12s ago\n"},
		{one.String(), "new    0       –        –       0         never\n"},
	} {
		if !strings.Contains(c.in, c.want) {
			t.Errorf("%q is not in\n%s", c.want, c.in)
		}
	}
}

func TestNodesAreShownWithTheirState(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out strings.Builder
	err := printNodes(&out, []control.Member{
		{ID: "id1", Name: "me", Tier: "cloud", Self: true, Connected: true, Origin: "0123456789abcdef"},
		{ID: "id2", Name: "near", Tier: "edge", Connected: true, Lag: &fabric.NodeLag{Writes: 1200, Bytes: 2048, BehindMS: 90_000}},
		{ID: "id3", Name: "hub", Tier: "edge", LastHeard: now.Add(-time.Hour), LastWrites: now.Add(-time.Minute)},
		{ID: "id4", Name: "lost", Tier: "device", Dark: true},
		{ID: "id5", Name: "old", Tier: "device", Dark: true, Retired: &fabric.Retirement{}},
		{ID: "id6", Name: "back", Tier: "device", Connected: true, Retired: &fabric.Retirement{}},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"me    cloud   this node           now      –                            0123456789ab…  id1\n",
		"near  edge    connected           now      1,200 writes, 2.0 KiB, 1m30s  –              id2\n",
		"hub   edge    away                1m0s ago  –", "lost  device  dark                never     –", "old   device  retired  ", "back  device  connected, retired  now",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
