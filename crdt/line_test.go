package crdt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// restarted is the replica that a node's next start reads back from its disk.
func restarted(t testing.TB, r *Region, self Origin) *Region {
	t.Helper()
	out := NewRegion(Config{Name: "t", Self: self, Push: true, Small: -1})
	load(t, out, image(r))
	return out
}

// image is everything that a replica would have on its disk.
func image(r *Region) []Record {
	r.TakeDirty()
	for i := range r.origins {
		r.origins[i].dirty = true
	}
	r.metaDirty = true
	recs := r.TakeDirty()
	r.store.eachCell(posMin, posMax, func(c *cell) bool {
		recs = append(recs, r.cellRecord(c))
		return true
	})
	return recs
}

func load(t testing.TB, r *Region, recs []Record) {
	t.Helper()
	for _, rec := range recs {
		if rec.Value == nil {
			continue
		}
		if err := r.Load(rec); err != nil {
			t.Fatal(err)
		}
	}
	r.Loaded(testNow)
	mustAudit(t, r)
}

func started(node string, number int) *Region {
	return NewRegion(Config{Name: "t", Self: startOrigin(node, number), Push: true, Small: -1})
}

func set(t testing.TB, r *Region, key, val string) {
	t.Helper()
	update(t, r, func(tx *Tx) error { tx.Set(key, []byte(val), false); return nil })
}

func del(t testing.TB, r *Region, key string) {
	t.Helper()
	update(t, r, func(tx *Tx) error { tx.Del(key); return nil })
}

func showing(r *Region, key string) string {
	v, _, _ := r.View(testNow).Get(key)
	return string(v)
}

// TestLineManyRestarts: after a thousand starts that wrote, contexts are as large as the number of nodes, on the wire, in
// memory and on disk.
func TestLineManyRestarts(t *testing.T) {
	t.Parallel()
	peer, r := started("peer", 1), started("n", 1)
	for i := range 1000 {
		set(t, r, "last", fmt.Sprint(i))
		set(t, r, fmt.Sprint("at", i%7), fmt.Sprint(i))
		del(t, r, fmt.Sprint("at", (i+3)%7))
		pullAll(t, peer, r, 1<<16)
		r = restarted(t, r, startOrigin("n", 2+i))
		if i%5 == 4 {
			set(t, r, "last", "so")
			r.Collapse(r.origin.Number())
			pullAll(t, peer, r, 1<<16)
			for _, x := range []*Region{r, peer} {
				x.DropPush()
				x.ForgetBelow(r.origin.Line(), maxSeq)
			}
		}
	}
	set(t, r, "last", "end")
	pullAll(t, peer, r, 1<<16)
	mustAudit(t, r, peer)
	if !peer.Context().Equal(r.Context()) || peer.Digest() != r.Digest() {
		t.Fatal("the replicas differ")
	}
	for name, x := range map[string]*Region{"node": r, "peer": peer} {
		if n := len(x.Context()); n > 8 {
			t.Errorf("%s: %d entries in the context", name, n)
		}
		if n := len(x.origins); n > 32 {
			t.Errorf("%s: %d slots for origins", name, n)
		}
		if n := len(x.Hello()); n > 300 {
			t.Errorf("%s: a hello of %d bytes", name, n)
		}
		n := 0
		for _, rec := range image(x) {
			if rec.Key[16] == recOrigin {
				n++
			}
		}
		if n > 32 {
			t.Errorf("%s: %d origin records", name, n)
		}
	}
}

// TestLineAfterAbsence: a replica that was away while starts were collapsed and forgotten comes back with what it alone has,
// and brings nothing back.
func TestLineAfterAbsence(t *testing.T) {
	t.Parallel()
	away, r := started("away", 1), started("n", 1)
	set(t, r, "stays", "v")
	set(t, r, "goes", "v")
	pullAll(t, away, r, 1<<16)
	set(t, away, "alone", "v")
	for i := range 5 {
		r = restarted(t, r, startOrigin("n", 2+i))
		set(t, r, fmt.Sprint("new", i), "v")
	}
	del(t, r, "goes")
	r = restarted(t, r, startOrigin("n", 9))
	set(t, r, "last", "v")
	if n := r.Collapse(r.origin.Number()); n != 6 {
		t.Fatalf("%d starts collapsed, want 6", n)
	}
	r.DropPush()
	r.Prune(startOrigin("n", 6), maxSeq)
	if n := r.ForgetBelow(r.origin.Line(), maxSeq); n != 0 { // each but one has a live value
		t.Logf("%d forgotten", n)
	}
	reconcileAll(t, r, away)
	reconcileAll(t, away, r)
	mustAudit(t, r, away)
	for _, x := range []*Region{r, away} {
		if showing(x, "goes") != "" || showing(x, "stays") != "v" || showing(x, "alone") != "v" || showing(x, "new4") != "v" {
			t.Errorf("goes %q stays %q alone %q new4 %q", showing(x, "goes"), showing(x, "stays"), showing(x, "alone"), showing(x, "new4"))
		}
	}
	if r.Digest() != away.Digest() || !r.Context().Equal(away.Context()) || r.ContextHash() != away.ContextHash() {
		t.Error("the replicas differ")
	}
}

// reconcileAll lets to pull everything from from, whatever turns that takes.
func reconcileAll(t testing.TB, to, from *Region) {
	t.Helper()
	rc, p := to.NewReceiver(), from.NewPull(hello(t, to))
	for {
		msg := p.Next(1 << 16)
		if reply := rc.TakeReply(); msg == nil && reply != nil {
			if err := p.Reply(reply); err != nil {
				t.Fatal(err)
			}
			continue
		} else if msg == nil {
			return
		}
		if err := rc.Merge(msg, testNow); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLineOfAClone: a process with a copy of a node's disk goes on alone through several starts, while the node itself
// collapses beyond their numbers. What the copy alone has is written again; what others had seen is not.
func TestLineOfAClone(t *testing.T) {
	t.Parallel()
	peer, r := started("peer", 1), started("n", 1)
	set(t, r, "old", "v")
	update(t, r, func(tx *Tx) error { _, err := tx.Incr("hits", 10); return err })
	pullAll(t, peer, r, 1<<16)
	r.NoteTold(peer.Context())
	clone := restarted(t, r, startOrigin("n", 3))
	set(t, clone, "of the clone", "v")
	update(t, clone, func(tx *Tx) error { _, err := tx.Incr("hits", 5); return err })
	clone = restarted(t, clone, startOrigin("n", 20))
	set(t, clone, "later", "v")

	r = restarted(t, r, startOrigin("n", 9))
	del(t, r, "old")
	r.Collapse(r.origin.Number())
	pullAll(t, peer, r, 1<<16)
	r.DropPush()
	for _, x := range []*Region{r, peer} {
		x.Prune(startOrigin("n", 9), maxSeq)
		x.ForgetBelow(r.origin.Line(), maxSeq)
	}

	reconcileAll(t, clone, peer)
	reconcileAll(t, peer, clone)
	reconcileAll(t, r, peer)
	mustAudit(t, clone, peer, r)
	for name, x := range map[string]*Region{"clone": clone, "peer": peer, "node": r} {
		if showing(x, "of the clone") != "v" || showing(x, "later") != "v" || showing(x, "hits") != "15" {
			t.Errorf("%s lost something: of the clone %q, later %q, hits %s", name, showing(x, "of the clone"), showing(x, "later"), showing(x, "hits"))
		}
		if showing(x, "old") != "" {
			t.Errorf("%s: what was removed is back", name)
		}
	}
	if peer.Digest() != clone.Digest() || peer.Digest() != r.Digest() {
		t.Error("the replicas differ")
	}
}

// TestLineBeyondOurs: a start whose number is below its node's line is told so, before anything of it is lost.
func TestLineBeyondOurs(t *testing.T) {
	t.Parallel()
	peer, r := started("peer", 1), started("n", 5)
	set(t, r, "a", "v")
	r = restarted(t, r, startOrigin("n", 8))
	set(t, r, "b", "v")
	r.Collapse(r.origin.Number())
	pullAll(t, peer, r, 1<<16)
	old := started("n", 6) // an older state of the machine, or its clock was wrong
	set(t, old, "c", "v")
	rc, p := old.NewReceiver(), peer.NewPull(hello(t, old))
	err := rc.Merge(p.Next(1<<16), testNow)
	if !errors.Is(err, ErrRolledBack) || LeastNumber(err) != FirstNumber+8 || !errors.Is(old.CheckHello(hello(t, peer)), ErrRolledBack) {
		t.Fatalf("error %v, least number %d", err, LeastNumber(err))
	}
	old.Reincarnate(startOrigin("n", 10), 0, testNow)
	pullAll(t, old, peer, 1<<16)
	pullAll(t, peer, old, 1<<16)
	mustAudit(t, old, peer)
	if showing(peer, "c") != "v" || showing(old, "a") != "v" || old.Digest() != peer.Digest() {
		t.Errorf("c at the peer %q, a at the node %q", showing(peer, "c"), showing(old, "a"))
	}
}

// TestContextLines holds the algebra of contexts with lines against plain sets of dots.
func TestContextLines(t *testing.T) {
	t.Parallel()
	const nodes, numbers, seqs = 2, 4, 4
	random := func(rng *rand.Rand) Context {
		c := Context{}
		for n := range nodes {
			node := fmt.Sprint("n", n)
			line := rng.IntN(numbers + 1)
			if line > 0 {
				c[startOrigin(node, 0).Line()] = Runs{Base: Seq(FirstNumber + line)}
			}
			for k := line; k < numbers; k++ {
				var runs Runs
				for s := 1; s <= seqs; s++ {
					if rng.IntN(2) == 0 {
						runs.Add(Seq(s))
					}
				}
				if !runs.Empty() {
					c[startOrigin(node, k)] = runs
				}
			}
		}
		return c
	}
	dots := func(c Context) (out [nodes * numbers * seqs]bool) {
		for i := range out {
			d := Dot{startOrigin(fmt.Sprint("n", i/numbers/seqs), i/seqs%numbers), Seq(i%seqs + 1)}
			out[i] = c.Has(d)
		}
		return out
	}
	lines := func(c Context) (out [nodes]Seq) {
		for n := range out {
			out[n] = c[startOrigin(fmt.Sprint("n", n), 0).Line()].Base
		}
		return out
	}
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 77))
		a, b := random(rng), random(rng)
		da, db, la, lb := dots(a), dots(b), lines(a), lines(b)
		union, both := a.Clone(), a.Intersect(b)
		union.Union(b)
		covers := true
		for i, u := range dots(union) {
			if u != (da[i] || db[i]) || dots(both)[i] != (da[i] && db[i]) {
				t.Fatalf("seed %d: %v and %v: union %v, intersection %v", seed, a, b, union, both)
			}
			covers = covers && (da[i] || !db[i])
		}
		if la == lb && covers != (a.Missing(b) == 0) {
			t.Fatalf("seed %d: %v lacks %d of %v", seed, a, a.Missing(b), b)
		}
		for n := range la {
			covers = covers && la[n] >= lb[n] // a line says that there is nothing else below it
		}
		if a.Covers(b) != covers {
			t.Fatalf("seed %d: %v covers %v: %v, want %v, %d missing", seed, a, b, a.Covers(b), covers, a.Missing(b))
		}
		if back := a.with(a.changesTo(b)); !back.Equal(b) || back.Hash() != b.Hash() {
			t.Fatalf("seed %d: the changes from %v to %v give %v", seed, a, b, back)
		}
		for id := range union {
			if union.below(id) {
				t.Fatalf("seed %d: the union lists %v, which is below its line", seed, id)
			}
		}
	}
}

// TestLineOfAHalfHeardClone: what a peer has seen of a copy's writes in a part of the space only is not known to be seen, and
// the copy writes the rest again.
func TestLineOfAHalfHeardClone(t *testing.T) {
	t.Parallel()
	peer, r := started("peer", 1), started("n", 1)
	set(t, r, "old", "v")
	pullAll(t, peer, r, 1<<16)
	clone := restarted(t, r, startOrigin("n", 3))
	const keys = 20
	for i := range keys {
		set(t, clone, fmt.Sprint("of the clone", i), "v")
	}
	rc, p := peer.NewReceiver(), clone.NewPull(hello(t, peer)) // it breaks off half-way
	for range keys / 2 {
		if err := rc.Merge(p.Next(1), testNow); err != nil {
			t.Fatal(err)
		}
	}
	set(t, peer, "of the peer", "v")
	pullAll(t, clone, peer, 1)
	clone = restarted(t, clone, startOrigin("n", 20))

	r = restarted(t, r, startOrigin("n", 9))
	set(t, r, "new", "v")
	r.Collapse(r.origin.Number())
	pullAll(t, peer, r, 1<<16)
	for range 2 {
		reconcileAll(t, clone, peer)
		reconcileAll(t, peer, clone)
	}
	mustAudit(t, clone, peer)
	for name, x := range map[string]*Region{"clone": clone, "peer": peer} {
		lost := 0
		for i := range keys {
			if showing(x, fmt.Sprint("of the clone", i)) != "v" {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%s lost %d of %d", name, lost, keys)
		}
	}
	if peer.Digest() != clone.Digest() || !peer.Context().Equal(clone.Context()) {
		t.Error("the replicas differ")
	}
}

// TestLineUnderLoad: origins below a line are forgotten although local writes wait to be pushed, unless those name them.
func TestLineUnderLoad(t *testing.T) {
	t.Parallel()
	peer, r := started("peer", 1), started("n", 1)
	for i := range 200 {
		set(t, r, "k", fmt.Sprint(i))
		set(t, r, fmt.Sprint("old", i%2), "v")
		pullAll(t, peer, r, 1<<16)
		r = restarted(t, r, startOrigin("n", 2+i))
		set(t, r, "k", "w")
		if i%10 == 9 {
			r.Collapse(r.origin.Number())
		}
		pullAll(t, peer, r, 1<<16)
		peer.TakePush()
		set(t, peer, "busy", fmt.Sprint(i))
		set(t, peer, fmt.Sprint("old", i%2), "w") // covers a write of a start that ended
		peer.ForgetBelow(r.origin.Line(), maxSeq)
		mustAudit(t, peer)
	}
	if n := len(peer.origins); n > 32 {
		t.Errorf("%d slots for origins", n)
	}
	other := started("other", 1)
	pushTo(t, peer, other)
	pullAll(t, other, peer, 1<<16)
	mustAudit(t, other)
	if other.Digest() != peer.Digest() {
		t.Error("the replicas differ")
	}
}

// TestLineOverAGap: a write that was lost for ever, with some that came after it seen elsewhere, does not keep the starts that
// followed from being collapsed.
func TestLineOverAGap(t *testing.T) {
	t.Parallel()
	peer, r := started("peer", 1), started("n", 1)
	for _, key := range []string{"first", "lost", "last"} {
		set(t, r, key, "v")
		if msgs := r.TakePush(); key != "lost" {
			for _, msg := range msgs {
				if _, err := peer.Push(msg, testNow); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	r = started("n", 2) // a crash took all of it from the disk
	pullAll(t, r, peer, 1<<16)
	for i := range 30 {
		set(t, r, "at", fmt.Sprint(i))
		r = restarted(t, r, startOrigin("n", 3+i))
	}
	set(t, r, "at", "end")
	r.Collapse(r.origin.Number())
	pullAll(t, peer, r, 1<<16)
	mustAudit(t, r, peer)
	for _, x := range []*Region{r, peer} {
		if n := len(x.Context()); n > 3 {
			t.Errorf("%d entries in a context", n)
		}
		if x.Gaps() || showing(x, "first") != "v" || showing(x, "last") != "v" || showing(x, "at") != "end" {
			t.Errorf("gaps: %v, first %q, last %q, at %q", x.Gaps(), showing(x, "first"), showing(x, "last"), showing(x, "at"))
		}
	}
}

// TestLineOverHalfARemoval: a removal of a whole entry that has come to a part of its scope only, because a crash took it from its
// writer, is not claimed for the rest, where what it removed still lives.
func TestLineOverHalfARemoval(t *testing.T) {
	t.Parallel()
	start := func(node string, number int) *Region {
		return NewRegion(Config{Name: "t", Self: startOrigin(node, number), Push: true})
	}
	peer, r := start("peer", 1), start("n", 1)
	const members = 20
	update(t, r, func(tx *Tx) error {
		for i := range members {
			if _, err := tx.SetAdd("set", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	})
	pullAll(t, peer, r, 1<<16)
	disk := image(r)
	update(t, r, func(tx *Tx) error {
		for i := range 5 {
			if _, err := tx.SetAdd("set", fmt.Sprint("late", i)); err != nil {
				return err
			}
		}
		tx.Del("set")
		for i := range members {
			if _, err := tx.SetAdd("set", fmt.Sprint("later", i)); err != nil {
				return err
			}
		}
		return nil
	})
	rc, p := peer.NewReceiver(), r.NewPull(hello(t, peer)) // it breaks off half-way
	for range 6 {
		if err := rc.Merge(p.Next(1), testNow); err != nil {
			t.Fatal(err)
		}
	}
	r = start("n", 2)
	load(t, r, disk)
	pullAll(t, r, peer, 1)
	set(t, r, "new", "v")
	r.Collapse(r.origin.Number())
	mustAudit(t, r)
	r.EachTip(func(tip Tip) {
		if tip.Kind == CellDrop && !tip.Dot.Origin.IsLine() {
			r.EachTip(func(x Tip) {
				if x.Kind == CellMember && x.Dot.Origin == tip.Dot.Origin && x.Dot.Seq < tip.Dot.Seq && r.Incorporated(x.Key, x.Kind, x.Sub, tip.Dot) {
					t.Errorf("%v lives, and its removal %v was seen there", x.Dot, tip.Dot)
				}
			})
		}
	})
}
