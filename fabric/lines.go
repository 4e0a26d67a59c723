package fabric

import (
	"maps"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Each start of this node that writes to a region is an entry of the region's context, on every node. Those that ended are
// collapsed into one, the node's line (crdt/line.go), once all who hold ghosts (stability.go) are known to have seen of
// them what this node has, and nothing else. Below a line nothing else can come any more, so starts rest for long
// before: for Config.Lease, after which a process with a copy of this disk would have been heard of, or until there are more
// than endedMax of them. A start that this disk does not know, as another life of the node made it, rests for MaxGhostAge.
// While an alarm says that two processes write with this node's key, nothing is collapsed.
//
// Everyone else takes the line over with the next pull, and drops what it stands for when all have it (Region.forget).
const (
	endedKept = 8  // ended starts that stay for as long as they have to rest, however many there were
	endedMax  = 16 // and beyond which they do not rest
)

// collapse collapses this node's ended starts, in the regions that have many.
func (f *Fabric) collapse(o *outlook, holders []*peer) {
	held := o.recent(holders, f.cfg.MaxGhostAge)
	var many []*Region
	for _, r := range f.all() {
		if r.noteTold(r.keeping(held)); r.starts > endedKept {
			many = append(many, r)
		}
	}
	if len(many) == 0 {
		return
	}
	ours, cloned := f.roster.pastStarts()
	for _, r := range many {
		if !cloned && f.ctx.Err() == nil && !f.queue.has(r.name) { // what waits is of starts that nobody has heard of
			r.collapse(o.now, r.keeping(held), ours)
		}
	}
}

// recent leaves out the holders that were not heard of for long: they hold ghosts until those are old, and starts likewise.
func (o *outlook) recent(holders []*peer, limit time.Duration) (out []*peer) {
	silent := map[crdt.NodeID]bool{}
	for i := range o.members {
		if m := &o.members[i].met; !m.up && o.now.Sub(m.heard) > limit && !m.heard.IsZero() {
			silent[o.members[i].id] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(holders), func(p *peer) bool { return p != nil && silent[p.id] })
}

// noteTold takes down how much of this node's own writes others have seen. Only what nobody has seen is written again where
// another process turns out to go by this node's name.
func (r *Region) noteTold(holders []*peer) {
	r.mu.RLock()
	version := r.core.Version()
	if r.allTold == version+1 {
		r.mu.RUnlock()
		return
	}
	starts := r.core.Starts()
	r.starts = len(starts)
	var news []crdt.Context
	all := true
	for i := range starts {
		s := &starts[i]
		for _, p := range holders {
			if p == nil || s.Told.Covers(s.Runs) {
				continue
			}
			if k, _ := p.knows(r); !k.part && !s.Told.Covers(k.context[s.Origin]) {
				s.Told.Union(k.context[s.Origin])
				news = append(news, crdt.Context{s.Origin: k.context[s.Origin].Clone()})
			}
		}
		all = all && s.Told.Covers(s.Runs)
	}
	r.mu.RUnlock()
	if len(news) > 0 {
		r.changed(func(int64) {
			for _, c := range news {
				r.core.NoteTold(c)
			}
		})
		r.f.commits.mark(r, false)
	}
	if all {
		r.allTold = version + 1
	}
}

// collapse collapses the ended starts of this node in one region that have rested, and that all holders know as we do.
func (r *Region) collapse(now time.Time, holders []*peer, ours map[crdt.Origin]bool) {
	upto := r.collapsible(now, holders, ours)
	if upto == 0 {
		return
	}
	var n int
	c, late := r.changed(func(int64) { n = r.core.Collapse(upto) })
	r.starts -= n
	r.f.cfg.Logger.Debug("starts of this node collapsed", "region", r.name, "starts", n, "left", r.starts)
	if late {
		_ = c.Sync(r.f.ctx)
	}
}

// forgetBelow drops what is kept of the origins of a line below a number, which all holders have.
func (r *Region) forgetBelow(line crdt.Origin, upto crdt.Seq) {
	if c, late := r.changed(func(int64) { r.core.ForgetBelow(line, upto) }); late {
		_ = c.Sync(r.f.ctx)
	}
	r.f.commits.mark(r, false)
}

// collapsible is the number below which starts can be collapsed, 0 if none can.
func (r *Region) collapsible(now time.Time, holders []*peer, ours map[crdt.Origin]bool) (upto uint32) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	starts := r.core.Starts()
	self := r.core.Self()
	for i := range starts {
		s := &starts[i]
		if s.Origin == self || !sameElsewhere(r, s, holders) {
			break
		}
		next := self.Number()
		if i+1 < len(starts) {
			next = starts[i+1].Origin.Number()
		}
		rest, many := r.f.cfg.Lease, len(starts) > endedMax && len(starts)-i > endedKept
		if len(s.Runs.Above) > 0 { // what is missing was written: some device that is away may have it
			many = false
		}
		if !ours[s.Origin] {
			rest, many = r.f.cfg.MaxGhostAge, false
		}
		if ended := time.UnixMilli(crdt.StartedAt(next)); now.Sub(ended) < rest && !many {
			break
		}
		upto = s.Origin.Number() + 1
	}
	return r.unheard(holders, upto)
}

// unheard is the least number below upto of a start of this node of which a holder has what is not here, or upto. A crash may have
// taken all of a start from this disk, so that nothing else speaks of it.
func (r *Region) unheard(holders []*peer, upto uint32) uint32 {
	if upto == 0 {
		return 0
	}
	line := r.core.Self().Line()
	for _, p := range holders {
		k, _ := p.knows(r)
		for id, runs := range k.context {
			if id.Line() == line && !id.IsLine() && id.Number() < upto && !r.core.Covers(crdt.Context{id: runs}) {
				upto = id.Number()
			}
		}
	}
	return upto
}

// sameElsewhere reports whether all holders have seen of a start what we have, no less and no more.
func sameElsewhere(r *Region, s *crdt.Start, holders []*peer) bool {
	for _, p := range holders {
		if p == nil {
			return false
		}
		if k, _ := p.knows(r); !k.context[s.Origin].Equal(s.Runs) {
			return false
		}
	}
	return true
}

// pastStarts gives the starts of this node that were made on this disk, and whether another process writes with its key.
func (n *roster) pastStarts() (ours map[crdt.Origin]bool, cloned bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, cloned = n.own().alarms[AlarmClone]
	return maps.Clone(n.self.past), cloned
}
