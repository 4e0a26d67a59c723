package evict

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// tracked is what the naive oracle knows of an entry.
type tracked struct {
	slot Slot
	size int
}

// A tracker is a policy beside a map of what it should hold.
type tracker struct {
	t    *testing.T
	p    Policy
	rng  *rand.Rand
	live map[uint64]tracked
	ids  []uint64 // of live entries, to draw from
}

// TestConformance runs random calls and holds every policy to what the interface promises.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		if name == "none" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(5) {
				p, err := New(name)
				if err != nil {
					t.Fatal(err)
				}
				k := &tracker{t: t, p: p, rng: rand.New(rand.NewPCG(seed, 3)), live: make(map[uint64]tracked)}
				for step := range 20_000 {
					k.step()
					for step%4000 == 3999 && len(k.ids) > 10 { // far more removes than inserts
						k.remove(0)
					}
					k.sameSums(seed, step)
				}
			}
		})
	}
}

func (k *tracker) step() {
	switch op := k.rng.IntN(20); {
	case op < 8:
		if id := k.rng.Uint64N(3000); k.live[id] == (tracked{}) {
			k.insert(id)
		}
	case len(k.ids) == 0:
	case op < 14:
		k.p.Touch(k.live[k.draw()].slot)
	case op < 16:
		id := k.draw()
		e := tracked{k.live[id].slot, 1 + k.rng.IntN(1000)}
		k.p.Resize(e.slot, e.size)
		k.live[id] = e
	case op < 18:
		k.remove(k.rng.IntN(len(k.ids)))
	default:
		k.victims(int64(k.rng.IntN(3000)))
	}
}

func (k *tracker) draw() uint64 { return k.ids[k.rng.IntN(len(k.ids))] }

func (k *tracker) insert(id uint64) {
	e := tracked{size: 1 + k.rng.IntN(1000)}
	e.slot = k.p.Insert(id, e.size, int64(k.rng.IntN(3))*int64(k.rng.IntN(1000)))
	for other, o := range k.live {
		if o.slot == e.slot {
			k.t.Fatalf("%d gets the slot of %d", id, other)
		}
	}
	k.live[id], k.ids = e, append(k.ids, id)
}

func (k *tracker) remove(i int) {
	k.p.Remove(k.live[k.ids[i]].slot)
	delete(k.live, k.ids[i])
	k.ids = slices.Delete(k.ids, i, i+1)
}

// victims refuses a third of what is offered, and checks each.
func (k *tracker) victims(want int64) {
	offered := make(map[uint64]bool)
	sum, held := int64(0), len(k.ids)
	freed := k.p.Victims(want, func(id uint64, size int) bool {
		if k.live[id].size != size || offered[id] {
			k.t.Fatalf("%d with %d bytes is offered, held are %+v (again: %v)", id, size, k.live[id], offered[id])
		}
		if offered[id] = true; k.rng.IntN(3) == 0 {
			return false
		}
		sum += int64(size)
		delete(k.live, id)
		k.ids = slices.DeleteFunc(k.ids, func(x uint64) bool { return x == id })
		return true
	})
	if freed != sum || freed < want && len(offered) != held {
		k.t.Fatalf("asked for %d, freed %d of %d with %d of %d offered", want, freed, sum, len(offered), held)
	}
}

func (k *tracker) sameSums(seed uint64, step int) {
	if k.p.Len() != len(k.live) {
		k.t.Fatalf("seed %d, step %d: %d entries, want %d", seed, step, k.p.Len(), len(k.live))
	}
	if step%50 > 0 {
		return
	}
	var bytes int64
	for _, e := range k.live {
		bytes += int64(e.size)
	}
	if k.p.Bytes() != bytes {
		k.t.Fatalf("seed %d, step %d: %d bytes, want %d", seed, step, k.p.Bytes(), bytes)
	}
}

func TestEqualRunsChooseEqualVictims(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		if a, b := replay(name), replay(name); !slices.Equal(a, b) {
			t.Errorf("%s chooses differently the second time", name)
		}
	}
}

func replay(name string) (victims []uint64) {
	p, _ := New(name)
	rng := rand.New(rand.NewPCG(7, 7))
	var slots []Slot
	for id := range uint64(2000) {
		slots = append(slots, p.Insert(id, 100, int64(id%7)*100))
		p.Touch(slots[rng.IntN(len(slots))])
	}
	p.Victims(100_000, func(id uint64, _ int) bool {
		victims = append(victims, id)
		return true
	})
	return victims
}

func TestTouchesRunTogether(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		p, _ := New(name)
		slots := make([]Slot, 100)
		for i := range slots {
			slots[i] = p.Insert(uint64(i), 10, 0)
		}
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for i := range 10_000 {
					p.Touch(slots[i%len(slots)])
				}
			})
		}
		readers.Wait()
		if freed := p.Victims(1000, func(uint64, int) bool { return true }); name != "none" && freed != 1000 {
			t.Errorf("%s frees %d", name, freed)
		}
	}
}

func TestOverheadIsSmall(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		if name == "none" {
			continue
		}
		p, _ := New(name)
		worst := 0.0
		for id := range uint64(300_000) {
			p.Insert(id, 100, int64(id%2))
			if id%3 == 2 && id > 1000 {
				p.Victims(100, func(uint64, int) bool { return true })
			}
			if id > 10_000 {
				worst = max(worst, float64(p.Overhead())/float64(p.Len()))
			}
		}
		t.Logf("%s: %.1f bytes an entry, %.1f at worst", name, float64(p.Overhead())/float64(p.Len()), worst)
		if worst > 32 {
			t.Errorf("%s takes %.1f bytes an entry", name, worst)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	if _, err := New("fifo"); err == nil {
		t.Error("fifo is a policy")
	}
	if Names()[0] != "s3fifo" {
		t.Error("s3fifo is not the default")
	}
}

func TestNoneKeepsAll(t *testing.T) {
	t.Parallel()
	var p Policy = None{}
	p.Touch(p.Insert(1, 100, 0))
	if freed := p.Victims(1, func(uint64, int) bool { t.Error("offered"); return true }); freed != 0 {
		t.Errorf("freed %d", freed)
	}
}
