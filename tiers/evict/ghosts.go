package evict

import "math/bits"

// ghosts remembers who left the small queue, for as many departures as there are entries in memory. A note is 20 bits of
// the id's hash and 12 of when: one comes to mind wrongly about once in 250,000 questions, which costs
// nothing but an entry in the wrong queue.
type ghosts struct {
	notes []uint32 // in buckets of ways; a power of two, or none
	tick  uint32   // coarse time: ticksOfMemory of them are one departure for each entry in memory
	part  int      // of a tick
}

const (
	ways          = 4
	notesMin      = 64
	whenBits      = 12
	whenMask      = 1<<whenBits - 1
	ticksOfMemory = 1 << (whenBits - 2) // a quarter of what the bits can tell, so that old is not taken for new
)

// hash mixes an id (Steele, Lea and Flood's splitmix64): ids may be small numbers.
func hash(id uint64) uint64 {
	id += 0x9e3779b97f4a7c15
	id = (id ^ id>>30) * 0xbf58476d1ce4e5b9
	id = (id ^ id>>27) * 0x94d049bb133111eb
	return id ^ id>>31
}

// bucket uses the hash's highest bits, so that each bucket of a table becomes two neighbours when that doubles.
func (g *ghosts) bucket(h uint64) []uint32 {
	i := h >> (64 - bits.TrailingZeros(uint(len(g.notes)/ways))) * ways
	return g.notes[i : i+ways]
}

func (g *ghosts) age(note uint32) uint32 { return (g.tick - note) & whenMask }

// advance counts a departure. Few entries are remembered for longer than they ask for: a tick is one departure at least.
func (g *ghosts) advance(live int) {
	if g.part += ticksOfMemory; g.part >= max(live, ticksOfMemory) {
		g.part -= max(live, ticksOfMemory)
		g.tick++
	}
}

func (g *ghosts) add(id uint64, live int) {
	g.fit(live)
	h := hash(id)
	b := g.bucket(h)
	oldest := 0
	for i, note := range b {
		if note == 0 {
			oldest = i
			break
		}
		if g.age(note) > g.age(b[oldest]) {
			oldest = i
		}
	}
	b[oldest] = uint32(h)<<whenBits | g.tick&whenMask
	g.advance(live)
}

// has forgets what it is asked for: the entry is back.
func (g *ghosts) has(id uint64) bool {
	if len(g.notes) == 0 {
		return false
	}
	h := hash(id)
	b := g.bucket(h)
	for i, note := range b {
		if note != 0 && note>>whenBits == uint32(h)&(1<<(32-whenBits)-1) && g.age(note) <= ticksOfMemory {
			b[i] = 0
			return true
		}
	}
	return false
}

// fit keeps as many notes as there are entries, or up to twice as many.
func (g *ghosts) fit(live int) {
	if want := notesFor(live); len(g.notes) < want {
		for len(g.notes) < want {
			g.double()
		}
	} else if len(g.notes) > 8*want {
		g.notes = make([]uint32, want)
	}
}

func notesFor(live int) int {
	return max(notesMin, 1<<bits.Len(uint(max(live, 1)-1)))
}

func (g *ghosts) double() {
	old := g.notes
	g.notes = make([]uint32, max(notesMin, 2*len(old)))
	for i := 0; i < len(old); i += ways {
		copy(g.notes[2*i:], old[i:i+ways])
		copy(g.notes[2*i+ways:], old[i:i+ways])
	}
}

func (g *ghosts) overhead() int64 { return int64(len(g.notes) * 4) }
