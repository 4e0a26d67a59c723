package fabric

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// tree opens nodes whose names begin with their tiers, with disks, all connected to each other.
func tree(t *testing.T, m *Mesh, names ...string) map[string]*Fabric {
	t.Helper()
	out := map[string]*Fabric{}
	for _, name := range names {
		tier, _, _ := strings.Cut(name, "-")
		m.SetTier(crdt.NodeID(name), tier)
		s, err := (&storetest.Disk{}).Open()
		if err != nil {
			t.Fatal(err)
		}
		out[name] = nodeWith(t, m, crdt.NodeID(name), Config{Tier: tier, Seed: 7, Storage: s})
		registerService(out[name])
	}
	time.Sleep(10 * time.Second)
	return out
}

// heldByNames lists the nodes that hold a region, by name.
func heldByNames(t *testing.T, nodes map[string]*Fabric, name string) string {
	t.Helper()
	var out []string
	for id, f := range nodes {
		if region(t, f, name).Held() {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// readOften reads region "r" at a node some times a second, where it has a copy there, else through a holder.
func readOften(t *testing.T, f *Fabric, seconds, each int) {
	t.Helper()
	for range seconds {
		for range each {
			if r := region(t, f, "r"); r.Held() {
				_ = get(t, r, "k1")
			} else {
				read(t, f, "k1")
			}
		}
		time.Sleep(time.Second)
	}
}

// TestHotRegionsMove: to the edge that reads them, by way of the tiers between; to another one when the readers go there; and away from where only writes
// come. The least copies stay.
func TestHotRegionsMove(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		nodes := tree(t, NewMesh(1), "cloud-1", "regional-1", "edge-1", "edge-2")
		cloud := nodes["cloud-1"]
		r := create(t, cloud, "r", onDemand)
		for i := range 500 {
			set(t, r, fmt.Sprint("k", i), strings.Repeat("v", 100))
		}
		time.Sleep(time.Minute)
		if got := heldByNames(t, nodes, "r"); got != "cloud-1" {
			t.Fatalf("nobody uses it: held by %s", got)
		}
		readOften(t, nodes["edge-1"], 10, 20)
		if got := heldByNames(t, nodes, "r"); got != "cloud-1 edge-1 regional-1" {
			t.Errorf("read at edge-1: held by %s", got)
		}
		asked := nodes["edge-1"].RemoteStats().Asked
		readOften(t, nodes["edge-1"], 5, 20)
		if n := nodes["edge-1"].RemoteStats().Asked; n != asked || nodes["edge-1"].MoveStats().Saved < 100 {
			t.Errorf("%d reads went elsewhere; %+v", n-asked, nodes["edge-1"].MoveStats())
		}
		write := func(seconds int) {
			for i := range seconds {
				for j := range 100 {
					set(t, r, fmt.Sprint("k", j), strings.Repeat(fmt.Sprint(i%10), 1000))
				}
				time.Sleep(time.Second)
			}
		}
		readOften(t, nodes["edge-2"], 10, 20)
		if got := heldByNames(t, nodes, "r"); !strings.Contains(got, "edge-2") {
			t.Errorf("read at edge-2: held by %s", got)
		}
		for range 60 { // edge-2 goes on reading, edge-1 does not
			write(1)
			readOften(t, nodes["edge-2"], 1, 20)
		}
		if got := heldByNames(t, nodes, "r"); got != "cloud-1 edge-2 regional-1" {
			t.Errorf("read at edge-2, written in the cloud: held by %s", got)
		}
		write(60)
		if got := heldByNames(t, nodes, "r"); got != "cloud-1" {
			t.Errorf("only written: held by %s", got)
		}
		x, err := nodes["edge-2"].Explain(t.Context(), "r", nil)
		if err != nil || len(x.Moves) != 6 || x.Moves[0].Move != "demote" || len(x.Nodes) != 4 || x.Decider == nil || x.Decider.ID != "cloud-1" {
			t.Errorf("%+v, %v", x, err)
		}
		for _, m := range x.Moves {
			t.Log(m.At.Format(time.TimeOnly), m.Move, m.Node, m.Why, m.TookMS, m.Error)
		}
	})
}

// TestCopiesThatAreDue: there are as many as there are to be, where they may be; a holder that is lost is replaced, and what replaced it
// goes when it is back. What is taken by hand stays until writes cost more than it saves.
func TestCopiesThatAreDue(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		nodes := tree(t, m, "cloud-1", "cloud-2", "cloud-3", "edge-1", "edge-2")
		create(t, nodes["edge-1"], "r", RegionConfig{Placement: Placement{Kind: "demand", MinCopies: 2, Tiers: []string{"cloud"}}})
		set(t, region(t, nodes["edge-1"], "r"), "k1", "v")
		held := func(after time.Duration, why, want string) {
			t.Helper()
			time.Sleep(after)
			if got := heldByNames(t, nodes, "r"); got != want {
				t.Errorf("%s: held by %s, want %s", why, got, want)
			}
		}
		time.Sleep(2 * time.Minute)
		names := strings.Fields(heldByNames(t, nodes, "r"))
		if len(names) != 2 || strings.HasPrefix(names[0], "edge") || strings.HasPrefix(names[1], "edge") {
			t.Fatalf("made where it may not be: held by %v", names)
		}
		two, away := strings.Join(names, " "), crdt.NodeID(names[1])
		for name := range nodes {
			m.Cut(away, crdt.NodeID(name))
		}
		held(5*time.Minute, "one is away", two)
		held(10*time.Minute, "it stays away", "cloud-1 cloud-2 cloud-3")
		for name := range nodes {
			m.Heal(away, crdt.NodeID(name))
		}
		held(5*time.Minute, "it is back", two)
		x, err := nodes["edge-2"].Explain(t.Context(), "r", &Placement{MinCopies: 1})
		if err != nil || x.Planned == nil || len(x.Moves) == 0 || !slices.ContainsFunc(x.Moves, func(m MoveRecord) bool { return m.Move == "replace" && !strings.Contains(two, string(m.Node)) }) {
			t.Errorf("%+v, %v", x, err)
		}
		create(t, nodes[names[0]], "r", RegionConfig{Placement: Placement{Tiers: []string{}, MinCopies: 1}})
		time.Sleep(10 * time.Second)
		take(t, "r", nodes["edge-2"])
		held(10*time.Minute, "taken by hand, and one copy is enough", names[0]+" edge-2")
		for i := range 40 {
			set(t, region(t, nodes[names[0]], "r"), "k1", strings.Repeat(fmt.Sprint(i%10), 200_000))
			time.Sleep(2 * time.Second)
		}
		held(2*time.Minute, "only written", names[0])
	})
}

// TestIdleRegionsCostNothing: no node sends anything because of regions that are not everywhere and not used.
func TestIdleRegionsCostNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		nodes := tree(t, NewMesh(1), "cloud-1", "edge-1", "edge-2")
		for i := range 20 {
			r := create(t, nodes["cloud-1"], fmt.Sprint("r", i), RegionConfig{Placement: Placement{Kind: "demand", MinCopies: 2}})
			set(t, r, "k", "v")
		}
		time.Sleep(10 * time.Minute)
		before := map[string]uint64{}
		for name, f := range nodes {
			before[name] = f.SyncStats().PushFrames + f.MoveStats().Reports + f.catalogue.status().Stats.LocalWrites + f.roster.r.status().Stats.LocalWrites
		}
		time.Sleep(6 * time.Hour)
		for name, f := range nodes {
			after := f.SyncStats().PushFrames + f.MoveStats().Reports + f.catalogue.status().Stats.LocalWrites + f.roster.r.status().Stats.LocalWrites
			if after != before[name] || f.MoveStats().Failed > 0 {
				t.Errorf("%s: %d frames, reports and writes in six hours", name, after-before[name])
			}
		}
	})
}

// TestMovesByHandAlone: a node that is told so takes and gives nothing by itself, and is asked for nothing.
func TestMovesByHandAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		nodes := tree(t, m, "cloud-1")
		m.SetTier("edge-1", "edge")
		nodes["edge-1"] = nodeWith(t, m, "edge-1", Config{Tier: "edge", Seed: 7, ManualMoves: true})
		registerService(nodes["edge-1"])
		set(t, create(t, nodes["cloud-1"], "r", RegionConfig{Placement: Placement{Kind: "demand", MinCopies: 1}}), "k1", "v")
		time.Sleep(time.Minute)
		readOften(t, nodes["edge-1"], 20, 20)
		if got, s := heldByNames(t, nodes, "r"), nodes["cloud-1"].MoveStats(); got != "cloud-1" || s.Failed+s.Promoted > 0 {
			t.Errorf("held by %s; %+v", got, s)
		}
		take(t, "r", nodes["edge-1"])
		for i := range 40 {
			set(t, region(t, nodes["cloud-1"], "r"), "k1", strings.Repeat(fmt.Sprint(i%10), 200_000))
			time.Sleep(2 * time.Second)
		}
		if got, s := heldByNames(t, nodes, "r"), nodes["cloud-1"].MoveStats(); got != "cloud-1 edge-1" || s.Failed+s.Demoted > 0 {
			t.Errorf("taken by hand: held by %s; %+v", got, s)
		}
	})
}

// TestDecidersThatAreCut: nodes are killed and links cut between the steps of moves that deciders begin: no acknowledged write is lost, never are
// there fewer copies than there are to be, and after healing exactly those hold the region who say so.
func TestDecidersThatAreCut(t *testing.T) {
	seeds := uint64(8)
	if n, err := strconv.ParseUint(os.Getenv("EDGEMEM_MOVES_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	ends := map[string]int{}
	for seed := range seeds {
		bubble.Test(t, func(t *testing.T) { cutDeciders(t, seed, ends) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Log(ends)
	for _, name := range []string{"promoted", "demoted", "killed", "cut"} {
		if seeds >= 30 && ends[name] == 0 {
			t.Errorf("never %s: %v", name, ends)
		}
	}
}

func cutDeciders(t *testing.T, seed uint64, ends map[string]int) {
	rng := rand.New(rand.NewPCG(seed, 8))
	ids := []crdt.NodeID{"cloud-1", "regional-1", "edge-1", "edge-2"}
	x := newFleet(t, seed, ids...)
	for _, f := range x.nodes {
		registerService(f)
	}
	x.m.SetLoss(0.3)
	least := 1 + rng.IntN(2)
	home := ids[rng.IntN(4)]
	create(t, x.nodes[home], "r", RegionConfig{Ack: AckDisk, Placement: Placement{Kind: "demand", MinCopies: least}})
	set(t, region(t, x.nodes[home], "r"), "k", "v")
	time.Sleep(2 * time.Minute)
	copies := func() (n int) {
		for _, f := range x.nodes {
			if region(t, f, "r").has() {
				n++
			}
		}
		return n
	}
	if n := copies(); n != least {
		t.Errorf("%d copies of %d when it is new", n, least)
		return
	}
	written := map[string][]string{} // by key: the last value that was acknowledged, and those after it that were not
	use := func(id crdt.NodeID, writes bool) {
		f, key := x.nodes[id], fmt.Sprint("k", rng.IntN(30), id)
		r := region(t, f, "r")
		if !writes {
			if r.Held() {
				_, _, _ = r.Get(nil, key)
			} else {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, _, _ = f.Ask(ctx, Request{Region: "r", Service: "kv", Body: []byte(key)})
			}
			return
		}
		val := fmt.Sprint(rng.IntN(1e6))
		err := RegisterOf[string](r, key).Set(t.Context(), val)
		if errors.Is(err, ErrNotHeld) {
			_, err = write(f, key, val)
			if errors.Is(err, ErrNoHolder) {
				return // nothing was done
			}
		}
		if err == nil {
			written[key] = []string{val}
			ends["written"]++
		} else {
			written[key] = append(written[key], val)
		}
	}
	stepped := make(chan crdt.NodeID, 1024)
	x.step = func(id crdt.NodeID, _ string) {
		select {
		case stepped <- id:
		default:
		}
		time.Sleep(time.Millisecond) // the others have time to do something
	}
	for range 40 {
		reader := ids[rng.IntN(4)]
		for range rng.IntN(40) {
			use(reader, false)
		}
		for range rng.IntN(6) {
			use(ids[rng.IntN(4)], true)
		}
		if rng.IntN(3) == 0 { // so much that copies do not pay
			for range 20 {
				if r := region(t, x.nodes[reader], "r"); r.Held() {
					_ = RegisterOf[string](r, "bulk").Set(t.Context(), strings.Repeat("b", 200_000))
				}
			}
		}
		select {
		case id := <-stepped: // between two steps of a move, or just after
			switch rng.IntN(6) {
			case 0:
				x.m.Cut(id, ids[rng.IntN(4)])
				ends["cut"]++
			case 1:
				f := x.nodes[id]
				s := f.MoveStats()
				ends["promoted"], ends["demoted"] = ends["promoted"]+int(s.Promoted), ends["demoted"]+int(s.Demoted)
				x.restart(id)
				registerService(x.nodes[id])
				ends["killed"]++
			}
		default:
		}
		if n := copies(); n < least {
			t.Errorf("%d copies, %d are to be", n, least)
			return
		}
		if rng.IntN(4) == 0 {
			for i := range ids {
				for _, other := range ids[:i] {
					x.m.Heal(ids[i], other)
				}
			}
		}
		if rng.IntN(5) == 0 {
			time.Sleep(time.Duration(rng.IntN(90)) * time.Second)
		} else {
			time.Sleep(time.Duration(rng.IntN(1200)) * time.Millisecond)
		}
	}
	synctest.Wait() // nobody is between two steps
	x.step = nil
	x.m.SetLoss(0)
	for i := range ids {
		for _, other := range ids[:i] {
			x.m.Heal(ids[i], other)
		}
	}
	time.Sleep(20 * time.Minute)
	for _, id := range ids {
		s := x.nodes[id].MoveStats()
		ends["promoted"], ends["demoted"] = ends["promoted"]+int(s.Promoted), ends["demoted"]+int(s.Demoted)
	}
	x.checkCopies("r", written)
}
