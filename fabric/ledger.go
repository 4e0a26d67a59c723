package fabric

import (
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// knowledge is what a peer was last known to have seen of a region.
type knowledge struct {
	context  crdt.Context
	at       time.Time
	complete time.Time // when we last knew that we had all that it had,
	even     time.Time // and that it had all that we had
	part     bool      // some of context it may have seen in a part of the region only
}

// step is a moment at which a peer had seen exactly what we had, in the buckets that refer to it. Regions that changed
// here since are in left, with what both had seen of them. So regions that rest cost nothing, however many peers there are.
type step struct {
	at     time.Time
	moment uint64 // of prints
	left   map[crdt.RegionID]crdt.Context
}

// begin opens a step: an exchange that may show that the peer is in step as of now. End it with learnStep or drop.
// The caller holds prints.refreshing.
func (p *peer) begin(at time.Time, moment uint64) *step {
	s := &step{at: at, moment: moment}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = map[*step]struct{}{}
	}
	p.open[s] = struct{}{}
	return s
}

// drop ends a step of which nothing was learned, or no more.
func (p *peer) drop(s *step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, s)
}

// learnStep notes that the peer had seen in some buckets what we had when the step began.
func (p *peer) learnStep(s *step, buckets *bucketSet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hear(s.at)
	for i := range p.even {
		if buckets.has(i) {
			p.even[i] = s
		}
	}
	for id, k := range p.known {
		if buckets.has(int(id[0])) && !k.at.After(s.at) {
			delete(p.known, id)
		}
	}
	for id := range p.pulls {
		if buckets.has(int(id[0])) {
			delete(p.pulls, id)
		}
	}
}

// depart notes that a region changes, of which peers in step have seen before. The caller holds the region's lock.
func (m *mesh) depart(r *Region, before crdt.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		p.mu.Lock()
		p.even[r.bucket()].leave(r.id, before)
		for s := range p.open {
			s.leave(r.id, before)
		}
		p.mu.Unlock()
	}
}

func (s *step) leave(id crdt.RegionID, before crdt.Context) {
	if s == nil {
		return
	}
	if _, left := s.left[id]; left {
		return
	}
	if s.left == nil {
		s.left = map[crdt.RegionID]crdt.Context{}
	}
	s.left[id] = before
}

// learn notes what the peer has seen of a region, all of which is here.
func (p *peer) learn(id crdt.RegionID, c crdt.Context, at time.Time) {
	p.note(id, c, at, func(k *knowledge) { k.complete = at })
}

// learnPulled is learn of what the last chunk of a pull said.
func (p *peer) learnPulled(id crdt.RegionID, c crdt.Context, at time.Time) {
	p.note(id, c, at, func(k *knowledge) { k.complete, k.part = at, true })
}

// learnSame notes that the peer has seen of a region what we have.
func (p *peer) learnSame(id crdt.RegionID, c crdt.Context, at time.Time) {
	p.note(id, c, at, func(k *knowledge) { k.complete, k.even = at, at })
}

// learnAhead notes what the peer has seen of a region, some of which is not here.
func (p *peer) learnAhead(id crdt.RegionID, c crdt.Context, at time.Time) {
	p.note(id, c, at, func(*knowledge) {})
}

func (p *peer) note(id crdt.RegionID, c crdt.Context, at time.Time, how func(*knowledge)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hear(at)
	k, ok := p.known[id]
	if s := p.even[id[0]]; s != nil && !ok {
		k.complete, k.even = s.at, s.at
	}
	k.context, k.at, k.part = c, at, false
	how(&k)
	p.known[id] = k
}

// knows gives what the peer was last known to have seen of a region; false if it was never heard of, or is no holder. The caller holds the
// region's lock, for reading at least, and must not change the context.
func (p *peer) knows(r *Region) (knowledge, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.known[r.id]
	s := p.even[r.bucket()]
	switch {
	case !r.keptBy(p.id):
		return knowledge{}, false
	case s == nil || ok: // learnStep took away what was older than the step
		return k, ok
	case !r.comparedIn(s, p.id):
		return knowledge{}, false
	}
	if c, left := s.left[r.id]; left {
		return s.knowledge(c), true
	}
	if r.stale {
		return s.knowledge(r.before), true
	}
	return s.knowledge(r.core.Context()), true
}

func (s *step) knowledge(c crdt.Context) knowledge {
	return knowledge{context: c, at: s.at, complete: s.at, even: s.at}
}

// changedSince reports whether the region changed here since the peer was in step with it or asked for it.
func (p *peer) changedSince(r *Region) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if v, ok := p.pulls[r.id]; ok {
		return v != r.core.Version()
	}
	s := p.even[r.bucket()]
	if s == nil || !r.comparedIn(s, p.id) {
		return true
	}
	_, left := s.left[r.id]
	return left || r.stale
}

// parted forgets what was known of the peer's copy of a region, which it gave up or has anew.
func (p *peer) parted(id crdt.RegionID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, id)
	delete(p.pulls, id)
	delete(p.heardOf, id)
	delete(p.given, id)
}

// anew forgets what our hellos told of a region, of which we have another copy now.
func (p *peer) anew(id crdt.RegionID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.said, id)
	delete(p.pulls, id)
	delete(p.given, id)
}
