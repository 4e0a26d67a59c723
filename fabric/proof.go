package fabric

import (
	"maps"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Completeness is the proof that a person can hold against "is everything here?": what the nodes in Of had seen at UpTo,
// their own writes and those of others, is in this replica. It speaks for no other node: the dark ones may hold writes that
// nobody has seen, and those in Through are heard of only by what others pass on.
type Completeness struct {
	UpTo    time.Time     `json:"up_to,omitzero"` // zero: nothing can be said
	Of      []crdt.NodeID `json:"of"`
	Through []crdt.NodeID `json:"through"`
	Dark    []crdt.NodeID `json:"dark"`
}

// Writer is a running incarnation in a region's context.
type Writer struct {
	Origin string      `json:"origin"` // 32 hexadecimal digits
	Node   crdt.NodeID `json:"node"`
	Writes uint64      `json:"writes"` // seen here
}

// Ended sums up the incarnations in a region's context that run no more, as far as the nodes' records say. Those that are
// collapsed are not in it.
type Ended struct {
	Origins int    `json:"origins"`
	Writes  uint64 `json:"writes"`
}

// prove fills in how far the region is complete, and how far each peer is. The caller holds the region's lock, for reading
// at least.
func (o *outlook) prove(r *Region, s *RegionStatus) {
	s.Complete = Completeness{UpTo: o.now.UTC(), Of: []crdt.NodeID{}, Through: r.keepersAmong(o.through), Dark: r.keepersAmong(o.dark)}
	if !r.Held() {
		s.Complete.UpTo = time.Time{}
		return
	}
	for i := range o.members {
		m := &o.members[i]
		p := o.peers[m.id]
		if m.retired() && !m.met.up || !r.keptBy(m.id) {
			continue
		}
		var k knowledge
		var ok bool
		if p != nil {
			k, ok = p.knows(r)
			s.Lag[m.id] = o.lag(r, s, k, ok, m.met.up)
		}
		if m.retired() || slices.Contains(o.dark, m.id) || slices.Contains(o.through, m.id) {
			continue
		}
		s.Complete.Of = append(s.Complete.Of, m.id)
		if upTo := k.completeTo(s.Context); !ok || upTo.Before(s.Complete.UpTo) {
			s.Complete.UpTo = utc(upTo)
		}
	}
	if len(s.Complete.Of) == 0 && len(s.Complete.Dark)+len(s.Complete.Through) > 0 {
		s.Complete.UpTo = time.Time{}
	}
}

// keepersAmong lists those of some nodes that have a copy.
func (r *Region) keepersAmong(ids []crdt.NodeID) []crdt.NodeID {
	out := []crdt.NodeID{}
	for _, id := range ids {
		if r.keptBy(id) {
			out = append(out, id)
		}
	}
	return out
}

// completeTo is the last instant at which a peer is known to have had nothing that ours lacks now.
func (k *knowledge) completeTo(ours crdt.Context) time.Time {
	if ours.Covers(k.context) {
		return k.at
	}
	return k.complete
}

// lag tells how far a peer was when it was last heard of.
func (o *outlook) lag(r *Region, s *RegionStatus, k knowledge, heard, up bool) Lag {
	lag := Lag{Writes: k.context.Missing(s.Context), Missing: s.Context.Missing(k.context), AgeMS: -1, Up: up}
	if heard {
		lag.AgeMS = age(o.now, k.at)
	}
	if lag.Writes == 0 {
		return lag
	}
	lag.Bytes = lag.Writes * uint64(r.core.Bytes()) / uint64(max(1, r.core.Siblings()))
	oldest, known := r.news.since(k.even)
	switch {
	case known:
	case k.even.IsZero():
		oldest = r.f.began
	default:
		oldest = k.even
	}
	lag.BehindMS = age(o.now, oldest)
	return lag
}

func age(now, then time.Time) int64 { return max(0, now.Sub(then).Milliseconds()) }

// split sorts the origins of a context into those that write and those that ended.
func (o *outlook) split(s *RegionStatus) {
	s.Writers = []Writer{}
	for _, id := range s.Context.Origins() {
		runs := s.Context[id]
		if id.IsLine() {
			continue
		}
		if node, alive := o.writers[id]; alive {
			text, _ := id.MarshalText() // never fails
			s.Writers = append(s.Writers, Writer{Origin: string(text), Node: node, Writes: runs.Count()})
			continue
		}
		s.Ended.Origins++
		s.Ended.Writes += runs.Count()
	}
}

// Status is everything about the fabric at one moment.
type Status struct {
	Regions []RegionStatus `json:"regions"`
	Nodes   []NodeStatus   `json:"nodes"`
	Alarms  []Alarm        `json:"alarms"`
}

// Status tells everything at once. It costs as much as Regions.
func (f *Fabric) Status() Status {
	o := f.look()
	regions := f.regionsAt(o)
	return Status{Regions: regions, Nodes: f.nodes(o, regions), Alarms: f.Alarms()}
}

// survey looks for signs of life of members that are not connected, but whose writes come through others: for those it
// compares what was seen of their origins with what was seen at the last survey. Where everyone is connected it costs nothing.
func (f *Fabric) survey(o *outlook) {
	away := map[crdt.Origin]crdt.NodeID{}
	for _, m := range o.members {
		if m.met.up || m.record == nil {
			continue
		}
		for _, c := range m.record.claims {
			away[c.origin] = m.id
		}
	}
	if len(away) == 0 {
		return
	}
	signs := map[crdt.NodeID]bool{}
	for _, r := range f.all() {
		r.signs(away, signs)
	}
	f.roster.sighted(slices.Sorted(maps.Keys(signs)), o.now)
}

// signs notes which of the origins have been seen further than last time.
func (r *Region) signs(away map[crdt.Origin]crdt.NodeID, signs map[crdt.NodeID]bool) {
	r.mu.RLock()
	v := r.core.Version()
	if r.surveyed != nil && v == r.surveyedAt {
		r.mu.RUnlock()
		return
	}
	c := r.core.Context()
	r.mu.RUnlock()
	now := map[crdt.Origin]uint64{}
	for id, node := range away {
		runs := c[id]
		n := runs.Count()
		if n == 0 {
			continue
		}
		if r.surveyed != nil && n > r.surveyed[id] {
			signs[node] = true
		}
		now[id] = n
	}
	r.surveyed, r.surveyedAt = now, v
}

// sighted notes that writes of nodes came through others.
func (n *roster) sighted(ids []crdt.NodeID, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		if n.nodes[id] != nil {
			n.through[id] = at
		}
	}
}
