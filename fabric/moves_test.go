package fabric

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// fleet is some nodes with disks that can be killed.
type fleet struct {
	t     *testing.T
	m     *Mesh
	disks map[crdt.NodeID]*storetest.Disk
	nodes map[crdt.NodeID]*Fabric
	step  func(crdt.NodeID, string)
	auto  bool // copies move by themselves, too
}

// newFleet starts nodes. One whose name has a dash is of the tier before it, others are edges.
func newFleet(t *testing.T, seed uint64, ids ...crdt.NodeID) *fleet {
	x := &fleet{auto: strings.Contains(string(ids[0]), "-"), t: t, m: NewMesh(seed), disks: map[crdt.NodeID]*storetest.Disk{}, nodes: map[crdt.NodeID]*Fabric{}}
	for _, id := range ids {
		if tier, _, ok := strings.Cut(string(id), "-"); ok {
			x.m.SetTier(id, tier)
		}
		x.disks[id] = &storetest.Disk{}
		x.start(id)
	}
	t.Cleanup(func() {
		for _, f := range x.nodes {
			_ = f.Close()
		}
	})
	return x
}

// checkCopies: the nodes that hold a region are equal and have what was acknowledged, the others have nothing of it, and all nodes name the holders alike.
// written has the values of which each key may have one.
func (x *fleet) checkCopies(name string, written map[string][]string) {
	t := x.t
	t.Helper()
	var held []*Region
	var want []string
	for _, id := range slices.Sorted(maps.Keys(x.nodes)) {
		f := x.nodes[id]
		if r := region(t, f, name); r.Held() {
			held = append(held, r)
			want = append(want, string(id)+"/"+f.cfg.Tier)
		} else if n := recordsOf(t, r); n > 0 {
			t.Errorf("%s holds nothing, and has %d records of it", id, n)
		}
	}
	sameState(t, held...)
	for key, vals := range written {
		if got := get(t, held[0], key); !slices.Contains(vals, got) {
			t.Errorf("%s: %q, acknowledged was %q", key, got, vals[0])
		}
	}
	for id, f := range x.nodes {
		if got := holderNames(t, f, name); got != strings.Join(want, " ") {
			t.Errorf("%s says %s, held by %s", id, got, want)
		}
	}
}

func (x *fleet) start(id crdt.NodeID) *Fabric {
	x.t.Helper()
	s, err := x.disks[id].Open()
	if err != nil {
		x.t.Fatal(err)
	}
	tier, _, ok := strings.Cut(string(id), "-")
	if !ok {
		tier = "edge"
	}
	f, err := Open(context.Background(), Config{Name: string(id), Tier: tier, Storage: s, Transport: x.m.Node(id), Seed: 7, ManualMoves: !x.auto,
		step: func(id crdt.NodeID, name string) {
			if x.step != nil {
				x.step(id, name)
			}
		}})
	if err != nil {
		x.t.Fatal(err)
	}
	x.nodes[id] = f
	return f
}

// restart kills a node and starts it again from its disk.
func (x *fleet) restart(id crdt.NodeID) {
	x.t.Helper()
	if err := x.disks[id].Crash(); err != nil {
		x.t.Fatal(err)
	}
	_ = x.nodes[id].Close()
	x.start(id)
}

func (x *fleet) holders(name string) (out []crdt.NodeID) {
	for _, id := range []crdt.NodeID{"a", "b", "c"} {
		if region(x.t, x.nodes[id], name).Held() {
			out = append(out, id)
		}
	}
	return out
}

// TestCopiesComeAndGo: by hand, with all that was written, over restarts; and not the last ones.
func TestCopiesComeAndGo(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		x := newFleet(t, 1, "a", "b", "c")
		ra := create(t, x.nodes["a"], "maps", RegionConfig{Placement: Placement{Kind: "demand", MinCopies: 1}})
		for i := range 500 {
			set(t, ra, fmt.Sprint("k", i), "v")
		}
		time.Sleep(time.Minute)
		take(t, "maps", x.nodes["b"], x.nodes["c"])
		for _, id := range []crdt.NodeID{"b", "c"} {
			if err := region(t, x.nodes[id], "maps").GiveCopy(t.Context()); err != nil {
				t.Fatal(id, err)
			}
		}
		time.Sleep(2 * time.Minute)
		if got := fmt.Sprint(x.holders("maps")); got != "[a]" {
			t.Errorf("held by %s", got)
		}
		if err := ra.GiveCopy(t.Context()); !errors.Is(err, ErrCopies) || !ra.Held() {
			t.Errorf("the last copy: %v", err)
		}
		set(t, ra, "late", "v")
		rb := region(t, x.nodes["b"], "maps")
		began := time.Now()
		if err := rb.TakeCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
		if got := get(t, rb, "late"); got != "v" || rb.status().Entries != 501 {
			t.Errorf("b reads %q of %d entries", got, rb.status().Entries)
		}
		set(t, rb, "mine", "1")
		time.Sleep(time.Minute)
		sameState(t, ra, rb)
		x.restart("b")
		x.restart("c")
		time.Sleep(time.Minute)
		if got := fmt.Sprint(x.holders("maps")); got != "[a b]" {
			t.Errorf("after restarts held by %s", got)
		}
		sameState(t, ra, region(t, x.nodes["b"], "maps"))
		if got := holderNames(t, x.nodes["c"], "maps"); got != "a/edge b/edge" {
			t.Errorf("c knows %s", got)
		}
		if err := ra.GiveCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := get(t, region(t, x.nodes["b"], "maps"), "mine"); got != "1" {
			t.Errorf("b reads %q", got)
		}
		for id, f := range x.nodes {
			if list := f.Alarms(); len(list) > 0 {
				t.Errorf("%s: %+v", id, list)
			}
		}
	})
}

// TestNothingGoesThatCameAfterTheVows: a write that a leaving holder merged, and thereby acknowledged, after another one has vowed for what was there
// before, does not go with its copy: who wrote it may be lost.
func TestNothingGoesThatCameAfterTheVows(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		x := newFleet(t, 1, "a", "b", "c")
		ra := create(t, x.nodes["a"], "maps", RegionConfig{Ack: AckQuorum, Placement: Placement{Kind: "demand"}})
		set(t, ra, "k", "v")
		time.Sleep(time.Minute)
		take(t, "maps", x.nodes["b"], x.nodes["c"])
		time.Sleep(time.Minute)
		x.m.Cut("b", "c")
		wrote := false
		x.step = func(id crdt.NodeID, name string) {
			if id == "a" && name == "vowed again" && !wrote {
				wrote = true
				set(t, region(t, x.nodes["c"], "maps"), "late", "acknowledged")
				x.m.Cut("a", "c") // which therefore vows nothing
			}
		}
		err := ra.GiveCopy(t.Context())
		if !wrote {
			t.Fatalf("no write came between: %v", err)
		}
		if err := x.disks["c"].Crash(); err != nil {
			t.Fatal(err)
		}
		_ = x.nodes["c"].Close()
		x.disks["c"] = &storetest.Disk{}
		x.start("c")
		x.m.Heal("a", "c")
		x.m.Heal("b", "c")
		time.Sleep(5 * time.Minute)
		if got := get(t, region(t, x.nodes["b"], "maps"), "late"); got != "acknowledged" {
			t.Errorf("b reads %q of a write that a quorum had; a gave its copy up: %v", got, err)
		}
	})
}

// TestRightsStayWithHolders: who gives its copy up leaves its rights of bounded counters to a holder, and so does who stops; a node without a copy
// gets none. What was asked for comes no more.
func TestRightsStayWithHolders(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		x := newFleet(t, 1, "c", "b", "a")
		rc := create(t, x.nodes["c"], "maps", onDemand)
		if err := BoundedOf(rc, "seats").Create(t.Context(), 100, 0, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		take(t, "maps", x.nodes["a"], x.nodes["b"])
		rb, ra := region(t, x.nodes["b"], "maps"), region(t, x.nodes["a"], "maps")
		seats := func(r *Region) Bounded { return BoundedOf(r, "seats") }
		for _, r := range []*Region{rb, ra} {
			if err := seats(r).Reserve(t.Context(), 20); err != nil {
				t.Fatal(err)
			}
		}
		x.m.Cut("a", "c") // what a asks of c is not answered before it leaves
		x.m.Cut("b", "c")
		ra.WantRights("seats", 80)
		time.Sleep(time.Second)
		if err := ra.GiveCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.m.Heal("a", "c")
		x.m.Heal("b", "c")
		time.Sleep(3 * time.Minute)
		all := func() (sum int64) {
			for _, r := range []*Region{rc, rb} {
				if r.Held() && !r.f.closed.Load() {
					sum += shownAt(t, seats(r)).Here
				}
			}
			return sum
		}
		if got := all(); got != 100 {
			t.Errorf("the holders have %d of 100 rights after a gave its copy up", got)
		}
		if err := rc.GiveCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := all(); got != 100 {
			t.Errorf("the holder has %d of 100 rights after c gave its copy up", got)
		}
		if err := rc.TakeCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.restart("c") // of its former incarnation there are no rights here
		time.Sleep(time.Minute)
		if err := x.nodes["b"].Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := shownAt(t, seats(region(t, x.nodes["c"], "maps"))); got.Here != 100 || got.Value != 100 {
			t.Errorf("after b stopped c has %+v", got)
		}
	})
}

// TestPushesGoToHolders: a node without a copy is sent none of the region.
func TestPushesGoToHolders(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		var mu sync.Mutex
		got := map[string]int{}
		heard := func(name string) int {
			mu.Lock()
			defer mu.Unlock()
			return got[name]
		}
		counted := &listener{MeshNode: m.Node("c"), heard: func(frame []byte) {
			name, err := crdt.PushRegion(frame)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[name]++
		}}
		c, err := Open(t.Context(), Config{Name: "c", Tier: "edge", Seed: 7, Transport: counted})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ra := create(t, a, "maps", onDemand)
		set(t, ra, "k", "v")
		time.Sleep(time.Minute)
		region(t, b, "maps").takeUp()
		region(t, c, "maps").giveUp()
		time.Sleep(time.Minute)
		before := heard("maps")
		for i := range 20 {
			set(t, ra, "k", fmt.Sprint(i))
			set(t, region(t, a, DefaultRegion), "k", fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		if n, others := heard("maps")-before, heard(DefaultRegion); n != 0 || others < 20 {
			t.Errorf("%d pushes of the region came to a node without a copy; %d of another", n, others)
		}
		if got := get(t, region(t, b, "maps"), "k"); got != "19" {
			t.Errorf("the other holder reads %q", got)
		}
	})
}

// listener is told of pushes.
type listener struct {
	*MeshNode
	heard func([]byte)
}

func (l *listener) Serve(onPeer func(crdt.NodeID, string, string, bool), onGossip func(crdt.NodeID, []byte), onStream func(crdt.NodeID, io.ReadWriteCloser)) error {
	return l.MeshNode.Serve(onPeer, func(from crdt.NodeID, b []byte) { l.heard(b); onGossip(from, b) }, onStream)
}

// TestTwoThatRelyOnEachOther: of two holders that give their copies up at once one keeps it, however they interleave.
func TestTwoThatRelyOnEachOther(t *testing.T) {
	for seed := range uint64(40) {
		bubble.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 5))
			x := newFleet(t, seed, "a", "b", "c")
			set(t, create(t, x.nodes["a"], "maps", onDemand), "k", "v")
			time.Sleep(time.Minute)
			take(t, "maps", x.nodes["b"], x.nodes["c"])
			if err := region(t, x.nodes["c"], "maps").GiveCopy(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute) // its vows are over
			pauses := make([]time.Duration, 64)
			for i := range pauses {
				pauses[i] = time.Duration(rng.IntN(3)) * 50 * time.Millisecond
			}
			next := make(chan time.Duration, len(pauses))
			for _, p := range pauses {
				next <- p
			}
			x.step = func(crdt.NodeID, string) {
				select {
				case p := <-next:
					time.Sleep(p)
				default:
				}
			}
			done := make(chan error, 2)
			for _, id := range []crdt.NodeID{"a", "b"} {
				go func() { done <- region(t, x.nodes[id], "maps").GiveCopy(context.Background()) }()
			}
			<-done
			<-done
			if n := len(x.holders("maps")); n == 0 {
				t.Errorf("seed %d: nobody has a copy", seed)
			}
		})
	}
}

// TestMovesThatAreCut: kill -9 and cut links at every step of moves: no acknowledged write is lost, never are there fewer copies than there are to be,
// and after healing exactly those hold the region who say so.
func TestMovesThatAreCut(t *testing.T) {
	seeds := uint64(50)
	if testing.Short() {
		seeds = 8
	}
	if n, err := strconv.ParseUint(os.Getenv("EDGEMEM_MOVES_SEEDS"), 10, 64); err == nil { // 500 take a minute
		seeds = n
	}
	ends := map[string]int{}
	for seed := range seeds {
		bubble.Test(t, func(t *testing.T) { cutMoves(t, seed, ends) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if seeds < 50 {
		return
	}
	for _, name := range []string{"taken", "given", "not taken", "not given", "killed", "cut"} {
		if ends[name] == 0 {
			t.Errorf("never %s: %v", name, ends)
		}
	}
	t.Log(ends)
}

func cutMoves(t *testing.T, seed uint64, ends map[string]int) {
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	rng := rand.New(rand.NewPCG(seed, 6))
	ids := []crdt.NodeID{"a", "b", "c"}
	x := newFleet(t, seed, ids...)
	x.m.SetLoss(0.5)
	least := 1 + rng.IntN(2)
	create(t, x.nodes["a"], "maps", RegionConfig{Ack: AckDisk, Placement: Placement{Kind: "demand", MinCopies: least}})
	time.Sleep(time.Minute)
	take(t, "maps", x.nodes["b"], x.nodes["c"])
	written := map[string][]string{} // by key: the last value that was acknowledged, and those after it that were not
	write := func(id crdt.NodeID) {
		key, val := fmt.Sprint("k", rng.IntN(30), id), fmt.Sprint(rng.IntN(1e6))
		err := RegisterOf[string](region(t, x.nodes[id], "maps"), key).Set(t.Context(), val)
		if err == nil {
			written[key] = []string{val}
			ends["written"]++
		} else if len(written[key]) > 0 {
			written[key] = append(written[key], val)
		}
	}
	var victim crdt.NodeID // to be killed once its move is over: what it does until then is lost
	x.step = func(id crdt.NodeID, _ string) {
		switch n := rng.IntN(12); {
		case n == 0:
			x.m.Cut(id, ids[rng.IntN(3)])
			ends["cut"]++
		case n == 1 && victim == "":
			victim = id
			if err := x.disks[id].Crash(); err != nil {
				t.Error(err)
			}
			ends["killed"]++
		case n < 8:
			write(id)
		}
	}
	for range 8 {
		for range rng.IntN(4) {
			write(ids[rng.IntN(3)])
		}
		id := ids[rng.IntN(3)]
		r := region(t, x.nodes[id], "maps")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		name, err := "taken", error(nil)
		if held := r.Held(); held {
			name, err = "given", r.GiveCopy(ctx)
		} else {
			err = r.TakeCopy(ctx)
		}
		if cancel(); err != nil {
			name = "not " + name
		}
		ends[name]++
		if victim != "" {
			_ = x.nodes[victim].Close()
			x.start(victim)
			victim = ""
		}
		if n := len(x.holders("maps")); n < least {
			t.Errorf("%d copies, %d are to be: %s", n, least, strings.TrimSpace(name))
			return
		}
		if rng.IntN(2) == 0 {
			for i := range ids {
				x.m.Heal(ids[i], ids[(i+1)%3])
			}
		}
		time.Sleep(time.Duration(rng.IntN(90)) * time.Second)
	}
	synctest.Wait() // nobody is between two steps
	x.step = nil
	x.m.SetLoss(0)
	for i := range ids {
		x.m.Heal(ids[i], ids[(i+1)%3])
	}
	time.Sleep(10 * time.Minute)
	x.checkCopies("maps", written)
}

// FuzzVow: what a member asks for is read or refused.
func FuzzVow(f *testing.F) {
	r := crdt.NewRegion(crdt.Config{Name: "maps", Self: crdt.Origin{1}})
	f.Add((&Region{id: r.ID(), core: r}).vowRequest())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, seen, err := decodeVow(b)
		if err != nil {
			return
		}
		again, err := crdt.DecodeContext(crdt.EncodeContext(seen))
		if err != nil || !again.Equal(seen) {
			t.Errorf("%v reads back as %v, %v", seen, again, err)
		}
	})
}
