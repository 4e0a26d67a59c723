package fabric

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// entries counts what a context says of a node's starts: of those that have an entry, and of its line.
func entries(c crdt.Context, of crdt.Origin) (starts int, line bool) {
	for id := range c {
		switch {
		case id == of.Line():
			line = true
		case id.Line() == of.Line():
			starts++
		}
	}
	return starts, line
}

// TestRestartsDoNotGrowContexts: a node that restarts for ever is as many entries in all contexts as it keeps starts, in the
// fabric's own regions too, and nothing is lost on the way.
func TestRestartsDoNotGrowContexts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		hub := node(t, m, "hub")
		d := &drive{}
		const restarts = 60
		for i := range restarts {
			f := stored(t, m, "kiosk", d)
			r := region(t, f, "default")
			if n, err := CounterOf(r, "starts").Add(t.Context(), 1); err != nil || n != int64(i+1) {
				t.Fatalf("start %d counts %d, %v", i+1, n, err)
			}
			set(t, r, fmt.Sprint("of", i), "v")
			churn(t, r, 3)
			time.Sleep(DarkAfter + time.Minute)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		f := stored(t, m, "kiosk", d)
		time.Sleep(DarkAfter + time.Minute)
		set(t, region(t, f, "default"), "last", "v")
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, x := range []*Fabric{hub, f} {
			for _, r := range []*Region{region(t, x, "default"), x.roster.r} {
				starts, line := entries(r.core.Context(), f.Origin())
				if starts > endedMax+1 || !line {
					t.Errorf("%s, region %s: %d starts in the context, a line: %v", x.Node(), r.name, starts, line)
				}
				if err := r.core.Audit(); err != nil {
					t.Error(err)
				}
				if n := len(r.tried); n > endedMax+4 {
					t.Errorf("%s, region %s: %d origins are remembered for their ghosts", x.Node(), r.name, n)
				}
			}
			for i := range restarts {
				if got := get(t, region(t, x, "default"), fmt.Sprint("of", i)); got != "v" {
					t.Errorf("%s: the write of start %d is %q", x.Node(), i, got)
				}
			}
		}
		sameState(t, region(t, hub, "default"), region(t, f, "default"))
		late := node(t, m, "late")
		time.Sleep(time.Minute)
		sameState(t, region(t, hub, "default"), region(t, late, "default"))
	})
}

// TestStartsRestBeforeTheyCollapse: what a member lacks or has beyond us holds up the collapse, and so does an alarm.
func TestStartsRestBeforeTheyCollapse(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		hub := node(t, m, "hub")
		set(t, region(t, hub, "default"), "hub", "v") // so that it has a record
		d := &drive{}
		for range endedMax {
			f := stored(t, m, "kiosk", d)
			set(t, region(t, f, "default"), "k", "v")
			time.Sleep(time.Minute)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		m.Cut("kiosk", "hub")
		f := stored(t, m, "kiosk", d)
		r := region(t, f, "default")
		set(t, r, "k", "w")
		synctest.Wait()
		f.round(f.look()) // the hub was not heard of in this start
		if _, line := entries(r.core.Context(), f.Origin()); line {
			t.Error("starts collapsed although nothing is known of the hub")
		}
		m.Heal("kiosk", "hub")
		time.Sleep(DarkAfter + time.Minute)
		synctest.Wait()
		if starts, line := entries(r.core.Context(), f.Origin()); !line || starts > endedMax {
			t.Errorf("%d starts, a line: %v", starts, line)
		}
		if _, line := entries(region(t, hub, "default").core.Context(), f.Origin()); !line {
			t.Error("the hub has no line")
		}
	})
}

// TestStartsOfWhichAHolderHasMore: a start of this node of which nothing is here, because a crash took it, holds up the collapse of
// those after it while a holder has writes of it that were not pulled yet.
func TestStartsOfWhichAHolderHasMore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		node(t, m, "hub")
		d := &drive{}
		var f *Fabric
		lost := crdt.Origin{}
		for i := range endedMax + 2 {
			if f != nil {
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
			f = stored(t, m, "kiosk", d)
			set(t, region(t, f, "default"), "k", fmt.Sprint(i))
			if i == 3 {
				lost = f.Origin()
				binary.BigEndian.PutUint32(lost[6:], lost.Number()+1) // it falls between two that are known
				starts.Add(1)
			}
			time.Sleep(5 * time.Second) // less than a round
		}
		synctest.Wait()
		r := region(t, f, "default")
		p := f.mesh.peer("hub")
		k, ok := p.knows(r)
		if !ok {
			t.Fatal("nothing is known of the hub")
		}
		if upto := r.collapsible(f.cfg.Now(), []*peer{p}, ours(f)); upto <= lost.Number() {
			t.Fatalf("would collapse what is below %d; the test wants more than %d", upto, lost.Number())
		}
		ahead := k.context.Clone()
		ahead[lost] = crdt.Runs{Base: 3}
		p.learnAhead(r.id, ahead, f.cfg.Now())
		if upto := r.collapsible(f.cfg.Now(), []*peer{p}, ours(f)); upto > lost.Number() {
			t.Errorf("collapses what is below %d, and the hub has writes of %d", upto, lost.Number())
		}
	})
}

func ours(f *Fabric) map[crdt.Origin]bool {
	out, _ := f.roster.pastStarts()
	return out
}

// slowDrive is a disk that takes its time.
type slowDrive struct{ *drive }

func (s slowDrive) Commit(recs []crdt.Record) error {
	time.Sleep(20 * time.Millisecond)
	return s.drive.Commit(recs)
}

// TestCollapseOfManyRegions: a node that collapses its starts in many regions waits for its disk for a few of them at most.
func TestCollapseOfManyRegions(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		node(t, m, "hub")
		d := &drive{}
		const regions = 200
		var f *Fabric
		for range endedMax + 2 {
			if f != nil {
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if d.in, err = d.Open(); err != nil {
				t.Fatal(err)
			}
			f, err = Open(t.Context(), Config{Name: "kiosk", Tier: "edge", Transport: m.Node("kiosk"), Storage: slowDrive{d}, Seed: 7})
			if err != nil {
				t.Fatal(err)
			}
			for i := range regions {
				set(t, region(t, f, fmt.Sprint("r", i)), "k", "v")
			}
			time.Sleep(5 * time.Second)
		}
		defer func() { _ = f.Close() }()
		synctest.Wait()
		began := time.Now()
		f.round(f.look())
		took := time.Since(began)
		synctest.Wait()
		n := 0
		for i := range regions {
			if _, line := entries(region(t, f, fmt.Sprint("r", i)).core.Context(), f.Origin()); line {
				n++
			}
		}
		if n < regions/2 || took > time.Second {
			t.Errorf("a round took %v to collapse starts in %d regions", took, n)
		}
	})
}

// forgetful is a disk that has lost its list of starts, in a node whose clock is wrong.
type forgetful struct{ *drive }

func (f forgetful) NewIncarnation(_ context.Context, _ crdt.NodeID, least uint32) (crdt.Nonce, error) {
	return crdt.NewNonce(max(crdt.FirstNumber, least), [16]byte{byte(starts.Add(1))}), nil
}

// TestStartBelowItsLine: a start whose number is below what the disk says of the node's line takes one beyond it before it writes;
// its writes would all have one dot.
func TestStartBelowItsLine(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		hub := node(t, m, "hub")
		d := &drive{}
		for range endedMax + 2 {
			f := stored(t, m, "kiosk", d)
			set(t, region(t, f, "default"), "k", "v")
			time.Sleep(15 * time.Second)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if d.in, err = d.Open(); err != nil {
			t.Fatal(err)
		}
		f, err := Open(t.Context(), Config{Name: "kiosk", Tier: "edge", Transport: m.Node("kiosk"), Storage: forgetful{d}, Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		synctest.Wait()
		r := region(t, f, "default")
		if line := r.core.Context()[f.Origin().Line()].Base; crdt.Seq(f.Origin().Number()) < line {
			t.Fatalf("it writes as number %d, the line is at %d", f.Origin().Number(), line)
		}
		for i := range 5 {
			set(t, r, fmt.Sprint("new", i), "v")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := r.core.Audit(); err != nil {
			t.Error(err)
		}
		sameState(t, region(t, hub, "default"), r)
	})
}

// TestToldInPart: what the last chunk of a pull says that the peer has seen may hold for a part of the region only, and does not count
// as told.
func TestToldInPart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := node(t, m, "a")
		node(t, m, "b")
		synctest.Wait()
		m.Cut("a", "b")
		r := region(t, a, "default")
		set(t, r, "k", "v")
		synctest.Wait()
		p := a.mesh.peer("b")
		p.learnPulled(r.id, r.core.Context(), time.Now())
		r.noteTold([]*peer{p})
		if told := r.core.Starts()[0].Told; !told.Empty() {
			t.Errorf("told %v by a chunk", told)
		}
		p.learn(r.id, r.core.Context(), time.Now())
		r.noteTold([]*peer{p})
		if told := r.core.Starts()[0].Told; told.Empty() {
			t.Error("not told by a hello")
		}
	})
}
