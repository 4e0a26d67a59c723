package fabric

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/edgemem/edgemem/crdt"
)

// bucketCount is how many parts the space of region ids has. Two nodes that differ compare a fingerprint for each part,
// and list only the regions of those that differ.
const bucketCount = 256

// snapshot fingerprints what was seen of all regions at one moment. It does not change.
type snapshot struct {
	all    uint64
	bucket [bucketCount]uint64
}

// prints keeps the snapshot of now. A region that changed is noted once, by whoever changed it; what a hello costs
// depends on how many changed since the last one, and not on how many there are.
type prints struct {
	m *mesh

	refreshing sync.Mutex             // held while latest, members and the regions' hashes and keepers change
	latest     *snapshot              // of the regions that are everywhere
	members    [bucketCount][]*Region // regions that have seen something
	count      int                    // of them
	placed     map[*Region]struct{}   // those of them that are not everywhere
	moment     uint64                 // grows with each step and each change of keepers

	mu    sync.Mutex
	stale []*Region
	empty []*Region // that were read before anything was there
}

func newPrints(m *mesh) *prints {
	return &prints{m: m, latest: &snapshot{}, placed: map[*Region]struct{}{}}
}

func (r *Region) bucket() int { return int(r.id[0]) }

// stir notes that what was seen of the region has changed since the last snapshot. before is the context up to then. The
// caller holds the region's lock.
func (r *Region) stir(before crdt.Context) {
	if r.stale || r.f.cfg.Transport == nil {
		return
	}
	r.stale, r.before = true, before
	p := r.f.mesh.prints
	p.mu.Lock()
	p.stale = append(p.stale, r)
	p.mu.Unlock()
}

// calm gives the context that stir will want, if it will want one. The caller holds the region's lock, and changes the
// region next.
func (r *Region) calm() crdt.Context {
	if r.stale || r.f.cfg.Transport == nil {
		return nil
	}
	if v := r.core.Version(); r.before == nil || r.beforeAt != v {
		r.before, r.beforeAt = r.core.Context(), v
	}
	return r.before
}

// snapshot brings the fingerprints up to date. Those for a peer are of the regions that both hold, and a step begins with them. It takes
// time in proportion to the regions that are not everywhere.
func (p *prints) snapshot(with *peer) (*snapshot, *step) {
	p.refreshing.Lock()
	defer p.refreshing.Unlock()
	p.refresh()
	if with == nil {
		return p.latest, nil
	}
	p.moment++
	return p.common(with.id), with.begin(p.m.f.cfg.Now(), p.moment)
}

// common is the snapshot of what this node and another one both hold.
func (p *prints) common(with crdt.NodeID) *snapshot {
	if len(p.placed) == 0 {
		return p.latest
	}
	s := *p.latest
	for r := range p.placed {
		if r.sharedWith(with) {
			s.add(r, fingerprint(r.id, r.hash.Load()))
		}
	}
	return &s
}

// add changes the fingerprints by that of a region, which it takes away where it was in.
func (b *snapshot) add(r *Region, print uint64) {
	b.all ^= print
	b.bucket[r.bucket()] ^= print
}

func (p *prints) refresh() {
	p.mu.Lock()
	stale := p.stale
	p.stale = nil
	p.mu.Unlock()
	if len(stale) == 0 {
		return
	}
	next := *p.latest
	for _, r := range stale {
		now := p.settle(r)
		p.list(r, now != 0)
		if delete(p.placed, r); r.isPlaced() {
			if now != 0 {
				p.placed[r] = struct{}{}
			}
			now = 0
		}
		next.add(r, fingerprint(r.id, r.counted)^fingerprint(r.id, now))
		r.counted = now
	}
	p.latest = &next
}

// list has a region among the members, or not.
func (p *prints) list(r *Region, in bool) {
	if r.listed == in {
		return
	}
	list := &p.members[r.bucket()]
	if r.listed = in; in {
		*list = append(*list, r)
		p.count++
		return
	}
	i := slices.Index(*list, r)
	*list = slices.Delete(*list, i, i+1)
	p.count--
}

// settle takes one region's hash, and tells what its peers had of it up to now.
func (p *prints) settle(r *Region) (now uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = r.core.ContextHash()
	if r.hash.Load() != now {
		p.m.depart(r, r.before)
		r.hash.Store(now)
	}
	r.stale, r.before = false, nil
	return now
}

// size is how many regions had seen something when the last snapshot was taken.
func (p *prints) size() int {
	p.refreshing.Lock()
	defer p.refreshing.Unlock()
	return p.count
}

// in lists the regions of some buckets that had seen something when the last snapshot was taken.
func (p *prints) in(buckets *bucketSet) (out []*Region) {
	p.refreshing.Lock()
	defer p.refreshing.Unlock()
	for i, list := range p.members {
		if buckets.has(i) {
			out = append(out, list...)
		}
	}
	// What regions are like comes before what is in them.
	if i := slices.Index(out, p.m.f.catalogue); i > 0 {
		out[0], out[i] = out[i], out[0]
	}
	return out
}

// await notes that a region is read in which nothing was seen.
func (p *prints) await(r *Region) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.empty = append(p.empty, r)
}

// awaited lists the regions of some buckets that are read, and in which nothing was seen yet.
func (p *prints) awaited(buckets *bucketSet) (out []*Region) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.empty = slices.DeleteFunc(p.empty, func(r *Region) bool { return r.hash.Load() != 0 })
	for _, r := range p.empty {
		if buckets.has(r.bucket()) {
			out = append(out, r)
		}
	}
	return out
}

// fingerprint is 0 for a region of which nothing was seen.
func fingerprint(id crdt.RegionID, h uint64) uint64 {
	if h == 0 {
		return 0
	}
	x := binary.BigEndian.Uint64(id[:8]) ^ h*0x9e3779b97f4a7c15
	x ^= x >> 32
	return x * 0xd6e8feb86659fd93
}

// bucketSet is a set of buckets, a bit each.
type bucketSet [bucketCount / 8]byte

func (s *bucketSet) has(i int) bool { return s[i/8]&(1<<(i%8)) != 0 }

func (s *bucketSet) add(i int) { s[i/8] |= 1 << (i % 8) }

// everyBucket is the set of all.
var everyBucket = func() *bucketSet {
	var s bucketSet
	for i := range s {
		s[i] = 0xff
	}
	return &s
}()

// except gives the buckets that are not in the set.
func (s *bucketSet) except() *bucketSet {
	var out bucketSet
	for i := range s {
		out[i] = ^s[i]
	}
	return &out
}

func (b *snapshot) append(to []byte) []byte {
	for _, h := range b.bucket {
		to = binary.BigEndian.AppendUint64(to, h)
	}
	return to
}

// differ gives the buckets in which the fingerprints of msg, as append wrote them, are others.
func (b *snapshot) differ(msg []byte) *bucketSet {
	var out bucketSet
	for i, h := range b.bucket {
		if binary.BigEndian.Uint64(msg[8*i:]) != h {
			out.add(i)
		}
	}
	return &out
}
