package fabric

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// DarkAfter is how long nothing may be heard of a member before it counts as dark. Quiet members say hello at least every
// HelloMax, give or take a quarter.
const DarkAfter = 10 * time.Minute

// NodeStatus is what this node knows of a member, or of itself.
type NodeStatus struct {
	ID         crdt.NodeID       `json:"id"`
	Name       string            `json:"name"`
	Tier       string            `json:"tier"`
	Labels     map[string]string `json:"labels,omitempty"`
	Self       bool              `json:"self"`
	Origin     string            `json:"origin,omitempty"` // of the incarnation that writes, 32 hexadecimal digits; none if it never wrote
	Since      time.Time         `json:"since,omitzero"`   // when that started, by the node's own clock
	Connected  bool              `json:"connected"`
	LastHeard  time.Time         `json:"last_heard,omitzero"`        // of the node itself, on a connection
	LastWrites time.Time         `json:"last_writes_heard,omitzero"` // when new writes of it came through others
	Dark       bool              `json:"dark"`                       // not heard of, either way, for DarkAfter
	Retired    *Retirement       `json:"retired,omitempty"`
	Lag        *NodeLag          `json:"lag,omitempty"` // of a node that was connected since this one started
}

// NodeLag sums up a member's lag over all regions, as of when it was last heard of.
type NodeLag struct {
	Regions  int    `json:"regions"`   // in which it lacked something
	Writes   uint64 `json:"writes"`    // ours that it lacked
	Bytes    uint64 `json:"bytes"`     // what they come to, by the mean size of an entry
	Missing  uint64 `json:"missing"`   // its that we lack
	BehindMS int64  `json:"behind_ms"` // age of the oldest write that it lacked
}

// member is what is known of a node from its record and from connections.
type member struct {
	id         crdt.NodeID
	name, tier string
	record     *nodeRecord // nil: it never wrote, as far as is known here
	met        acquaintance
	through    time.Time // when writes of it came through others
}

func (m *member) retired() bool { return m.record != nil && m.record.retired != nil }

// heard is when there was a sign of life.
func (m *member) heard() time.Time {
	if m.through.After(m.met.heard) {
		return m.through
	}
	return m.met.heard
}

// outlook is what is known of all other members at one moment.
type outlook struct {
	now     time.Time
	self    crdt.NodeID
	members []member // by id, without this node
	peers   map[crdt.NodeID]*peer
	writers map[crdt.Origin]crdt.NodeID // running incarnations, this one included
	dark    []crdt.NodeID
	all     []Holder      // of regions that are everywhere; see everybody
	through []crdt.NodeID // neither dark nor connected of late, but writes of theirs came through others
}

// look takes stock. It takes time in proportion to the members.
func (f *Fabric) look() *outlook {
	o := &outlook{now: f.cfg.Now(), self: f.cfg.Node, writers: f.roster.writers()}
	all := map[crdt.NodeID]*member{}
	for id, k := range f.acquaintances() {
		all[id] = &member{id: id, name: k.name, tier: k.tier, met: k}
	}
	f.roster.describe(all)
	delete(all, f.cfg.Node)
	o.peers = f.mesh.known()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		m := all[id]
		o.members = append(o.members, *m)
		switch {
		case m.retired() || m.met.up:
		case o.now.Sub(m.heard()) >= DarkAfter:
			o.dark = append(o.dark, id)
		case o.now.Sub(m.met.heard) >= DarkAfter:
			o.through = append(o.through, id)
		}
	}
	return o
}

// describe adds what the records say.
func (n *roster) describe(all map[crdt.NodeID]*member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, rec := range n.nodes {
		m := all[id]
		if m == nil {
			m = &member{id: id}
			all[id] = m
		}
		m.name, m.tier = cmp.Or(rec.name, m.name), cmp.Or(rec.tier, m.tier)
		m.record, m.through = rec, n.through[id]
	}
}

// known gives the peers that are, or were, connected.
func (m *mesh) known() map[crdt.NodeID]*peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.peers)
}

// Nodes lists the members that are known here, this node first, then by name and id.
func (f *Fabric) Nodes() []NodeStatus {
	o := f.look()
	return f.nodes(o, f.regionsAt(o))
}

func (f *Fabric) nodes(o *outlook, regions []RegionStatus) []NodeStatus {
	f.roster.mu.Lock()
	own := *f.roster.own()
	f.roster.mu.Unlock()
	me := NodeStatus{ID: f.cfg.Node, Name: f.cfg.Name, Tier: f.cfg.Tier, Self: true, Connected: true, LastHeard: o.now.UTC()}
	me.describe(&own)
	me.Labels = f.cfg.Labels
	out := []NodeStatus{me}
	lags := sumLags(regions)
	for _, m := range o.members {
		s := NodeStatus{ID: m.id, Name: m.name, Tier: m.tier, Connected: m.met.up, LastWrites: utc(m.through), LastHeard: utc(m.met.heard),
			Dark: slices.Contains(o.dark, m.id), Lag: lags[m.id]}
		if m.met.up {
			s.LastHeard = o.now.UTC()
		}
		s.describe(m.record)
		out = append(out, s)
	}
	slices.SortStableFunc(out[1:], func(a, b NodeStatus) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func (n *NodeStatus) describe(rec *nodeRecord) {
	if rec == nil {
		return
	}
	if c, ok := rec.origin(); ok {
		text, _ := c.origin.MarshalText() // never fails
		n.Origin, n.Since = string(text), c.since.UTC()
	}
	n.Retired, n.Labels = rec.retired, rec.labels
}

func sumLags(regions []RegionStatus) map[crdt.NodeID]*NodeLag {
	out := map[crdt.NodeID]*NodeLag{}
	for i := range regions {
		for id, lag := range regions[i].Lag {
			sum := out[id]
			if sum == nil {
				sum = &NodeLag{}
				out[id] = sum
			}
			sum.add(lag)
		}
	}
	return out
}

func (s *NodeLag) add(lag Lag) {
	s.Writes += lag.Writes
	s.Bytes += lag.Bytes
	s.Missing += lag.Missing
	s.BehindMS = max(s.BehindMS, lag.BehindMS)
	if lag.Writes > 0 {
		s.Regions++
	}
}
