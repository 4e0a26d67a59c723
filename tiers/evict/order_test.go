package evict

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLRUIsExact compares with a list that every read moves an entry to the end of.
func TestLRUIsExact(t *testing.T) {
	t.Parallel()
	l := NewLRU()
	var list []uint64
	slots := make(map[uint64]Slot)
	rng := rand.New(rand.NewPCG(1, 1))
	for id := range uint64(20_000) {
		switch op := rng.IntN(8); {
		case op == 0 && len(list) > 3:
			got := victims(l, 3)
			if !slices.Equal(got, list[:3]) {
				t.Fatalf("step %d: victims %v, want %v", id, got, list[:3])
			}
			list = list[3:]
		case op < 4 && len(list) > 0:
			i := rng.IntN(len(list))
			id := list[i]
			l.Touch(slots[id])
			list = append(slices.Delete(list, i, i+1), id)
		case op == 4 && len(list) > 0:
			i := rng.IntN(len(list))
			l.Remove(slots[list[i]])
			list = slices.Delete(list, i, i+1)
		default:
			slots[id], list = l.Insert(id, 1, 0), append(list, id)
		}
		if rng.IntN(2000) == 0 {
			l.clock.Store(renewAt - uint32(rng.IntN(100))) // renewal must keep the order
		}
	}
}

// victims takes entries of one byte each.
func victims(p Policy, n int) (ids []uint64) {
	p.Victims(int64(n), func(id uint64, _ int) bool {
		ids = append(ids, id)
		return true
	})
	return ids
}

func TestLRUCountStops(t *testing.T) {
	t.Parallel()
	l := NewLRU()
	a, b := l.Insert(1, 1, 0), l.Insert(2, 1, 0)
	l.clock.Store(^uint32(0) - 1)
	l.Touch(b)
	l.Touch(a) // counts end here
	l.Touch(a)
	if l.Insert(3, 1, 0); !slices.Equal(victims(l, 3), []uint64{1, 2, 3}) {
		t.Error("entries with the last count leave in an order that is not theirs")
	}
}

// TestLFUIsExact compares with a sort by reads and age, below the point where counts are halved.
func TestLFUIsExact(t *testing.T) {
	t.Parallel()
	l := NewLFU()
	reads := make([]int, 300)
	slots := make([]Slot, len(reads))
	for id := range reads {
		slots[id] = l.Insert(uint64(id), 1, 0)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range readsPerHalving*len(reads) - 1 {
		id := min(rng.IntN(len(reads)), rng.IntN(len(reads)))
		l.Touch(slots[id])
		reads[id]++
	}
	want := make([]uint64, len(reads))
	for i := range want {
		want[i] = uint64(i)
	}
	slices.SortStableFunc(want, func(a, b uint64) int { return reads[a] - reads[b] })
	if got := victims(l, len(reads)); !slices.Equal(got, want) {
		t.Errorf("victims %v, want %v", got, want)
	}
}

func TestLFUAges(t *testing.T) {
	t.Parallel()
	l := NewLFU()
	old := l.Insert(1, 1, 0)
	for range 200 {
		l.Touch(old)
	}
	fresh := l.Insert(2, 1, 0)
	for range 100 { // fewer reads than the old one ever had, but later
		for range 64 {
			l.Touch(fresh)
		}
		l.Insert(3, 0, 0)
	}
	if got := victims(l, 1); len(got) == 0 || !slices.Contains(got, 1) || slices.Contains(got, 2) {
		t.Errorf("victims are %v: yesterday's favourite stays", got)
	}
}

func TestLFUKeepsOrderWhenNumbersRunOut(t *testing.T) {
	t.Parallel()
	l := NewLFU()
	for id := range uint64(5) {
		l.Insert(id, 1, 0)
	}
	l.order = orderMax
	for id := uint64(5); id < 10; id++ {
		l.Insert(id, 1, 0)
	}
	if got := victims(l, 10); !slices.IsSorted(got) {
		t.Errorf("victims are %v", got)
	}
}

func TestTTLTakesWhatExpiresFirst(t *testing.T) {
	t.Parallel()
	p := NewTTL()
	p.Insert(1, 1, 0)
	kept := p.Insert(2, 1, 0)
	p.Insert(3, 1, 500)
	p.Insert(4, 1, 100)
	p.Touch(p.Insert(5, 1, 300))
	p.Insert(6, 1, 1<<40)
	p.Touch(p.Insert(7, 1, 0))
	p.Touch(kept)
	if got, want := victims(p, 7), []uint64{4, 5, 3, 6, 1, 7, 2}; !slices.Equal(got, want) {
		t.Errorf("victims are %v, want %v", got, want)
	}
}

// TestS3FIFOFollowsThePaper compares with its pseudocode over plain slices, for entries of one byte, with the same memory of who left.
func TestS3FIFOFollowsThePaper(t *testing.T) {
	t.Parallel()
	f, o := NewS3FIFO(), &paper{reads: map[uint64]int{}}
	slots := make(map[uint64]Slot)
	rng := rand.New(rand.NewPCG(1, 1))
	for step := range 30_000 {
		id := uint64(min(rng.IntN(400), rng.IntN(400)))
		if s, held := slots[id]; held {
			f.Touch(s)
			o.reads[id] = min(3, o.reads[id]+1)
			continue
		}
		slots[id] = f.Insert(id, 1, 0)
		o.insert(id)
		if len(slots) > 100 {
			got, want := victims(f, 1), o.evict()
			if len(got) != 1 || got[0] != want {
				t.Fatalf("step %d: victim %v, want %d", step, got, want)
			}
			delete(slots, want)
		}
	}
}

type paper struct {
	small, main []uint64
	reads       map[uint64]int
	left        ghosts
}

func (o *paper) insert(id uint64) {
	o.reads[id] = 0
	if o.left.has(id) {
		o.main = append(o.main, id)
		return
	}
	o.small = append(o.small, id)
}

func (o *paper) evict() uint64 {
	for {
		if len(o.small) > 0 && (len(o.main) == 0 || len(o.small)*10 >= len(o.small)+len(o.main)) {
			id := o.small[0]
			if o.small = o.small[1:]; o.reads[id] <= 1 {
				o.left.add(id, len(o.small)+len(o.main))
				return id
			}
			o.reads[id] = 0
			o.main = append(o.main, id)
			continue
		}
		id := o.main[0]
		if o.main = o.main[1:]; o.reads[id] == 0 {
			return id
		}
		o.reads[id]--
		o.main = append(o.main, id)
	}
}

func TestGhostsForget(t *testing.T) {
	t.Parallel()
	var g ghosts
	const live = 5000
	for id := range uint64(3 * live) {
		g.add(id, live)
	}
	recent, old := 0, 0
	for id := range uint64(live) {
		if g.has(3*live - 1 - id) {
			recent++
		}
		if g.has(id) {
			old++
		}
	}
	if recent < live*3/4 {
		t.Errorf("%d of the last %d are remembered", recent, live)
	}
	if old > live/50 {
		t.Errorf("%d of %d from three memories ago are remembered", old, live)
	}
	wrong := 0
	for id := range uint64(100_000) {
		if g.has(1<<40 + id) {
			wrong++
		}
	}
	if wrong > 20 {
		t.Errorf("%d of 100,000 that never left are remembered", wrong)
	}
}
