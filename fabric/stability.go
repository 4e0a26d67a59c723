package fabric

import (
	"maps"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
)

// A ghost, what a remove leaves, serves those that pull from here and have not seen the remove. It goes when it is causally
// stable, which is when each of these is known to have seen it:
//
//   - every core member (tier edge and above) that this node was ever connected to and that is not retired, however long it
//     has been away;
//   - every device that was heard of within Config.Lease;
//   - in a node's first ten minutes, every member that has a record: it may not have had time to connect.
//
// A member that never was connected to this node does not pull from it, and those that it pulls from keep ghosts for it.
// Or it goes because it is older than Config.MaxGhostAge, or because there are more than Config.MaxGhosts, or they take more than Config.MaxGhostBytes. None of this
// affects convergence: who comes back below the floor compares live entries instead, and loses nothing.

// tierDevice is the only tier whose members hold ghosts by a lease.
var tierDevice = tiers.Device.String()

const (
	regionsARound = 512  // regions in which one round looks for stable ghosts; the next goes on from there
	pruneStep     = 4096 // writes of an origin that are looked through under one lock
	ageMarks      = 8    // marks that are kept for the age of ghosts: they go up to an eighth too late
)

// ageMark says what had been seen at an instant: ghosts up to there are at least that old. The age counts from the start of
// the process at the latest.
type ageMark struct {
	at   time.Time
	seen map[crdt.Origin]crdt.Seq
}

// holders gives the members for which ghosts are kept; nil stands for one of which nothing is known yet.
func (o *outlook) holders(began time.Time, lease time.Duration) (out []*peer) {
	young := o.now.Sub(began) < DarkAfter
	for i := range o.members {
		m := &o.members[i]
		device := m.tier == tierDevice || m.tier == ""
		switch {
		case m.retired():
		case m.met.heard.IsZero() && !m.met.up:
			if young {
				out = append(out, nil)
			}
		case device && !m.met.up && o.now.Sub(m.met.heard) > lease:
		default:
			out = append(out, o.peers[m.id])
		}
	}
	return out
}

// stabilise forgets ghosts in some of the regions that have any, and what is below lines that all have.
func (f *Fabric) stabilise(o *outlook, holders []*peer) {
	all := f.all()
	done := 0
	for range all {
		f.cursor++
		r := all[f.cursor%len(all)]
		if r.ghosts.Load() == 0 {
			r.ages, r.tried = nil, nil
			continue
		}
		r.forget(o.now, r.keeping(holders))
		if done++; done == regionsARound {
			return
		}
	}
}

// forget forgets the ghosts of one region that are stable or too old.
func (r *Region) forget(now time.Time, holders []*peer) {
	bound, ours := r.stable(holders)
	for id, seq := range r.aged(now, ours) {
		bound[id] = max(bound[id], seq)
	}
	if r.tried == nil {
		r.tried = map[crdt.Origin]crdt.Seq{}
	}
	maps.DeleteFunc(r.tried, func(id crdt.Origin, _ crdt.Seq) bool { _, seen := ours[id]; return !seen })
	for _, id := range slices.SortedFunc(maps.Keys(bound), crdt.Origin.Compare) {
		if r.f.ctx.Err() != nil || bound[id] <= r.tried[id] {
			continue
		}
		if id.IsLine() {
			r.forgetBelow(id, bound[id])
		} else {
			r.prune(id, r.tried[id], bound[id])
		}
		r.tried[id] = bound[id]
	}
}

// stable gives, per origin, up to where all holders have seen everything, and up to where we have.
func (r *Region) stable(holders []*peer) (bound, ours map[crdt.Origin]crdt.Seq) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	bound, ours = map[crdt.Origin]crdt.Seq{}, map[crdt.Origin]crdt.Seq{}
	for id, runs := range r.core.Context() {
		bound[id], ours[id] = runs.Base, runs.Base
	}
	for _, p := range holders {
		var k knowledge
		if p != nil {
			k, _ = p.knows(r)
		}
		for id := range bound {
			bound[id] = min(bound[id], k.context[id].Base)
		}
	}
	return bound, ours
}

// aged gives, per origin, up to where ghosts are older than they may get, and marks what was seen by now.
func (r *Region) aged(now time.Time, ours map[crdt.Origin]crdt.Seq) (old map[crdt.Origin]crdt.Seq) {
	limit := r.f.cfg.MaxGhostAge
	for len(r.ages) > 0 && now.Sub(r.ages[0].at) >= limit {
		old, r.ages = r.ages[0].seen, r.ages[1:]
	}
	if n := len(r.ages); n == 0 || now.Sub(r.ages[n-1].at) >= limit/ageMarks {
		r.ages = append(slices.Clip(r.ages), ageMark{now, ours})
	}
	return old
}

// prune forgets the ghosts of one origin in a range, a part under each lock.
func (r *Region) prune(id crdt.Origin, from, upto crdt.Seq) {
	for at := from; at < upto && r.ghosts.Load() > 0 && r.f.ctx.Err() == nil; at += pruneStep {
		if c, late := r.changed(func(int64) { r.core.PruneRange(id, at, min(at+pruneStep, upto)) }); late {
			_ = c.Sync(r.f.ctx)
		}
	}
}

// expel forgets peers that are away for longer than the lease. Core members stay while they are not retired: what they were
// known to have seen holds on to ghosts.
func (f *Fabric) expel(o *outlook) {
	var gone []crdt.NodeID
	for i := range o.members {
		m := &o.members[i]
		if !m.met.up && (m.retired() || (m.tier == tierDevice || m.tier == "") && o.now.Sub(m.met.heard) > f.cfg.Lease) {
			gone = append(gone, m.id)
		}
	}
	m := f.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range gone {
		if p := m.peers[id]; p != nil && p.cancel == nil {
			delete(m.peers, id)
		}
	}
}
