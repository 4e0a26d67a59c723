package sim

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// image is what a disk holds: the records of one region.
type image map[string][]byte

// backupsMax bounds the backups that a replica keeps; the oldest goes.
const backupsMax = 3

// start boots a replica from its disk, as a new incarnation.
func (w *world) start(who int) {
	n := w.nodes[who]
	n.incarnation++
	self := originOf(who, n.incarnation)
	if w.s.lines {
		self = startOf(who, n.incarnation)
	}
	n.r = crdt.NewRegion(crdt.Config{
		Name:      regionName,
		Self:      self,
		Push:      true,
		MaxGhosts: w.s.ghosts[who],
		Small:     w.s.small[who],
		Causal:    w.s.causal,
		Mutant:    w.mode.mutant,
		Values:    diskOf{n},
		MinAway:   1,
		Packer:    new(closet),
		MinPack:   1,
		Trace:     func(x crdt.Written) { w.wrote(who, x) },
	})
	n.r.LoadAway(w.s.away && n.incarnation%2 == 0)
	for _, k := range slices.Sorted(maps.Keys(n.disk)) {
		if err := n.r.Load(crdt.Record{Key: []byte(k), Value: n.disk[k]}); err != nil {
			w.fail(err)
		}
	}
	n.r.Loaded(w.clock(who))
	n.r.NoteTold(n.r.Context()) // whoever collapses its starts has seen all that others have of them: see elsewhere
	n.known, n.queue = nil, nil
	w.oracle.learn(&n.known, n.r)
}

func (w *world) sync(who int) {
	n := w.nodes[who]
	if n.r.Dirty() {
		var recs []crdt.Record
		n.blindly(func() { recs = n.r.TakeDirty() })
		if recs == nil {
			w.say("n%d takes no records, because its disk is blind", who)
			return
		}
		n.queue = append(n.queue, recs)
		w.say("n%d takes %d records", who, len(recs))
	}
}

// diskOf reads a replica's disk.
type diskOf struct{ n *node }

// closet packs values of four bytes and more to two: their places in a list.
type closet struct{ vals [][]byte }

func (c *closet) Pack(dst, val []byte) []byte {
	c.vals = append(c.vals, slices.Clone(val))
	return binary.BigEndian.AppendUint16(dst, uint16(len(c.vals)-1))
}

func (c *closet) Unpack(packed []byte, _ int) ([]byte, error) {
	return slices.Clone(c.vals[binary.BigEndian.Uint16(packed)]), nil
}

var errBlind = errors.New("the disk cannot be read")

func (d diskOf) Value(key []byte) ([]byte, error) {
	if d.n.blind && d.n.exposed {
		return nil, errBlind
	}
	return d.n.disk[string(key)], nil
}

// blindly runs fn while a blind disk matters: not while the oracle looks.
func (n *node) blindly(fn func()) {
	n.exposed = true
	defer func() { n.exposed = false }()
	fn()
}

// evict takes some values out of memory. Nothing may be under way to the disk.
func (w *world) evict(who int, rng *rand.Rand) int {
	n := w.nodes[who]
	if !n.full && rng.IntN(4) > 0 {
		if rng.IntN(4) > 0 {
			w.sync(who)
		}
		w.commit(who, len(n.queue))
	}
	if len(n.queue) > 0 {
		return -1
	}
	var ids []uint64
	n.r.EachEvictable(0, 1<<20, func(id uint64, _ int) { ids = append(ids, id) })
	packed := 0
	for _, id := range ids {
		if rng.IntN(3) == 0 && n.r.Squeeze(id) > 0 {
			packed++
		}
	}
	w.packed += packed
	gone, all := 0, rng.IntN(3) == 0
	for _, id := range ids {
		if (all || rng.IntN(2) == 0) && n.r.Evict(id) > 0 {
			gone++
		}
	}
	w.evicted += gone
	w.say("of n%d %d values are packed and %d leave memory, of %d cells that have some", who, packed, gone, len(ids))
	return who
}

// back reads lazily, and puts what is missed back into memory.
func (w *world) back(who int, rng *rand.Rand) int {
	n := w.nodes[who]
	v := n.r.View(w.clock(who))
	v.Lazy(true)
	for _, key := range w.s.keys {
		if rng.IntN(2) == 0 {
			_, _, _ = v.Get(key)
		}
		for _, sub := range w.s.subs {
			_, _, _ = v.MapGet(key, sub)
		}
	}
	came := 0
	for _, m := range v.Missing() {
		if m.Packed {
			came += n.r.Unpack(m.Key)
			continue
		}
		came += n.r.Return(m.Key, n.disk[string(m.Key)])
	}
	w.returned += came
	w.say("%d values of n%d come back", came, who)
	return who
}

// commit writes the oldest batches to disk, each whole. A full disk takes none: they wait, or a crash takes them.
func (w *world) commit(who, batches int) {
	n := w.nodes[who]
	if n.full {
		w.say("n%d finds its disk full", who)
		return
	}
	for range batches {
		w.say("n%d commits %d records", who, len(n.queue[0]))
		for _, rec := range n.queue[0] {
			if rec.Value == nil {
				delete(n.disk, string(rec.Key))
			} else {
				n.disk[string(rec.Key)] = rec.Value
			}
		}
		n.queue = n.queue[1:]
	}
}

// crash loses everything that is not on the disk, and starts the next incarnation.
func (w *world) crash(who int) int {
	w.restart(who)
	w.say("n%d crashes and restarts as %v", who, w.nodes[who].r.Self())
	return who
}

// reboot stops a replica in order, which leaves nothing behind if its disk takes it, and starts it again.
func (w *world) reboot(who int) int {
	w.sync(who)
	w.commit(who, len(w.nodes[who].queue))
	w.restart(who)
	w.say("n%d restarts as %v", who, w.nodes[who].r.Self())
	return who
}

// restart replaces a replica by what its disk holds, and notes the writes that were nowhere else. A write that only
// a backup or an unsettled message still holds may come back with it; then it must reach everyone.
func (w *world) restart(who int) {
	n := w.nodes[who]
	w.oracle.learn(&n.known, n.r)
	had := n.known
	w.crashed = true
	w.start(who)
	for i := range w.oracle.writes {
		if had.has(i) && !slices.ContainsFunc(w.nodes, func(m *node) bool { return m.known.has(i) }) {
			w.lost.set(i)
		}
	}
	maps.DeleteFunc(w.bases, func(ends [2]int, _ crdt.Context) bool { return ends[0] == who || ends[1] == who })
	w.sessions = slices.DeleteFunc(w.sessions, func(s *session) bool { return s.puller == who || s.server == who })
}

// backup keeps what the disk holds now.
func (w *world) backup(who int) {
	n := w.nodes[who]
	if n.backups = append(n.backups, maps.Clone(n.disk)); len(n.backups) > backupsMax {
		n.backups = n.backups[1:]
	}
	w.say("n%d is backed up, %d records", who, len(n.disk))
}

// restore puts a replica back to one of its backups. Without one its disk is wiped.
func (w *world) restore(who int, rng *rand.Rand) int {
	n := w.nodes[who]
	n.disk = image{}
	if len(n.backups) > 0 {
		n.disk = maps.Clone(n.backups[rng.IntN(len(n.backups))])
	}
	w.restart(who)
	w.say("n%d is restored from a backup of %d records and starts as %v", who, len(n.disk), n.r.Self())
	return who
}

// cloneDisk gives a replica a copy of another's disk, as if a new machine had been made from its image.
func (w *world) cloneDisk(who int, rng *rand.Rand) int {
	from := w.other(who, rng)
	w.nodes[who].disk = maps.Clone(w.nodes[from].disk)
	w.restart(who)
	w.say("n%d starts from a clone of the disk of n%d as %v", who, from, w.nodes[who].r.Self())
	return who
}

// fill makes a disk full, or makes room on it.
func (w *world) fill(who int) {
	n := w.nodes[who]
	n.full = !n.full
	w.say("the disk of n%d is full: %v", who, n.full)
}
