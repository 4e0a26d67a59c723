package place

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
)

func TestRatesDecay(t *testing.T) {
	t.Parallel()
	var r Rate
	for i := range 3600 {
		r.Add(10, start.Add(time.Duration(i)*time.Second), time.Minute)
	}
	now := start.Add(time.Hour)
	if got := r.PerSecond(now, time.Minute); math.Abs(got-10) > 0.2 {
		t.Errorf("rate of ten a second: %v", got)
	}
	if got, want := r.Sum(now.Add(time.Minute), time.Minute), r.Sum(now, time.Minute)/2; math.Abs(got-want) > 1e-6 {
		t.Errorf("after a half-life %v, want %v", got, want)
	}
	if got := r.Sum(start, time.Minute); got != r.sum {
		t.Errorf("at an instant that is past: %v", got)
	}
}

func TestDemandIsBounded(t *testing.T) {
	t.Parallel()
	var d Demand
	total := int64(0)
	for i := range 10 * consumersMax {
		d.Note(Use{Consumer: crdt.NodeID(fmt.Sprint("c", i)), Reads: 1, Writes: 1, Written: 3}, time.Second, start)
		d.Note(Use{Consumer: "busy", Reads: 5}, time.Second, start)
		total += 6
	}
	if n := len(d.who); n != consumersMax {
		t.Errorf("%d consumers are kept", n)
	}
	var reads, written int64
	for _, u := range d.Take() {
		reads, written = reads+u.Reads, written+u.Written
	}
	if reads != total || written != 30*consumersMax {
		t.Errorf("taken %d reads of %d, %d bytes", reads, total, written)
	}
	if more := d.Take(); more != nil {
		t.Errorf("taken twice: %v", more)
	}
	if busiest := d.Consumers(start)[0].ID; busiest != "busy" {
		t.Errorf("busiest is %s", busiest)
	}
}

func TestSketchFindsHotKeys(t *testing.T) {
	t.Parallel()
	var s Sketch
	for i := range uint64(3000) {
		s.Add(mix(i))
		if i%10 == 0 {
			s.Add(42)
		}
	}
	if hot := s.Count(42); hot < 300 || hot > 340 {
		t.Errorf("hot key counts %d of 300", hot)
	}
	for range 100_000 {
		s.Add(7)
	}
	if old := s.Count(42); old > 5 {
		t.Errorf("a key that was hot long ago counts %d", old)
	}
	if n := s.Total(); n > sketchAge {
		t.Errorf("stands for %d uses", n)
	}
}

// TestMobilityLearnsACommute: the third day is warmed in time; a device that wanders is given up on.
func TestMobilityLearnsACommute(t *testing.T) {
	t.Parallel()
	o := observe(chain(), "cloud")
	o.Spec.Tiers = []tiers.Tier{tiers.Cloud, tiers.Edge}
	m, p := NewMobility(), New(Config{})
	edges := []crdt.NodeID{"edge1", "edge2"}
	p.Step(o, start)
	stay := Use{Reads: 1, ReadBytes: 10 * mib}
	at := start
	for range 20 {
		for _, e := range edges {
			for _, d := range m.Moved("car", e, at) {
				p.Settle("r", d.Node, d.Kind == Promote)
			}
			if early := m.Warm(o, "car", stay, at.Add(time.Hour)); early != nil && at != start {
				t.Fatalf("warms in the first of ten hours: %v", early)
			}
			at = at.Add(10 * time.Hour)
			for _, d := range m.Warm(o, "car", stay, at) {
				if d.Node == e {
					t.Fatalf("warms where the device is: %v", d)
				}
				p.Expect("r", d.Node)
			}
		}
	}
	if right, wrong, _ := m.Score(); right < 35 || wrong != 0 {
		t.Errorf("%d right, %d wrong of 40", right, wrong)
	}
	if p.Level("r", "edge2") != 1 {
		t.Error("what the device came for is not wanted")
	}
	expected := observe(chain(), "cloud", "edge1")
	expected.Use = writes("cloud", 10*mib)
	if got := moves(p.Step(expected, at)); got != nil {
		t.Errorf("while the device is expected: %q", got)
	}
	p.Settle("r", "edge1", false)
	if got := moves(p.Step(expected, at)); !slices.Equal(got, []string{"demote edge1 rent-or-buy"}) {
		t.Errorf("after nobody came: %q", got)
	}
	if ds := m.Warm(o, "car", Use{Reads: 1}, at); ds != nil {
		t.Errorf("warms for less than it costs: %v", ds)
	}
}

func TestWrongWarmUpsAreBounded(t *testing.T) {
	t.Parallel()
	nodes := []Node{{ID: "cloud", Tier: tiers.Cloud, Room: -1}}
	for i := range 50 {
		nodes = append(nodes, Node{ID: crdt.NodeID(fmt.Sprint("e", i)), Tier: tiers.Edge, Room: -1, Upstream: "cloud", Link: Link{Bandwidth: mib}})
	}
	o := observe(nodes, "cloud")
	m := NewMobility()
	for i := range 2000 {
		at := start.Add(time.Duration(i) * time.Hour)
		m.Moved("taxi", crdt.NodeID(fmt.Sprint("e", mix(uint64(i))%50)), at)
		m.Warm(o, "taxi", Use{Reads: 1, ReadBytes: 1 << 40}, at.Add(50*time.Minute))
		if right, wrong, open := m.Score(); wrong+open > right+wrongFree {
			t.Fatalf("%d right, %d wrong, %d open", right, wrong, open)
		}
		if n := len(m.devices["taxi"].counts); n > hopsKept {
			t.Fatalf("%d trips are kept", n)
		}
	}
	if right, wrong, _ := m.Score(); right+wrong == 0 {
		t.Error("nothing was warmed: the bound was not tested")
	}
}
