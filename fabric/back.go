package fabric

import (
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// Two nodes that meet again pull from each other at once. Where both changed a region and both forgot what they removed, each pull
// would have to compare the same two sets. One is enough (crdt's back.go): of the two, the node with the lower id leads.
//
//	leader                                        follower
//	  ├─ HELLO, LEAD ───────────────────────────────▶│  sends nothing in this pull: it has forgotten too
//	  │◀──────────────────────────── HELLO of its own ┤
//	  ├─ offer, asking for what is there ───────────▶│  …
//	  │◀──────────────────────────────── REPLY, BACK ─┤
//	  ├─ chunks ────────────────────────────────────▶│  and merges BACK
//
// LEAD is said where the leader has forgotten removes that the follower may not have seen, to a peer that is known to understand it. A
// follower follows unless it has answered already, and not twice without having given back: a pull that fails must not keep
// its writes from the leader. Without any of that there are two pulls, as ever.

const (
	// backMax bounds the chunks that a puller gives back in one session, bytes. What is beyond is for another pull.
	backMax = 2 << 20
	// backWrites is how many writes either side may lack. With more, what is given back would wait for too long.
	backWrites = 1 << 14
)

// debt is what a peer was known to have seen of a region when it was asked to give it back.
type debt struct {
	r    *Region
	seen crdt.Context
}

// roles in a reconciliation, should there be one.
type role uint8

const (
	alone role = iota
	asLeader
	asFollower
)

// leads reports whether the peer is to give back, in its own pull, what it has of a region. The caller holds the region's lock.
func (x *puller) leads(r *Region) bool {
	if x.m.can&canBack == 0 || abilities(x.p.can.Load())&canBack == 0 || x.m.f.cfg.Node >= x.p.id || r.causal.Load() {
		return false
	}
	k, _ := x.p.knows(r)
	return r.core.Forgot(k.context)
}

// arrange says what this node is in a reconciliation with the puller. The caller holds the region's lock.
func (x *server) arrange(r *Region, pull *crdt.Pull, h *crdt.Seen, behind bool) role {
	if x.can&x.m.can&canBack == 0 {
		return alone
	}
	pull.Narrow()
	ours := r.core.Context()
	if !behind || r.causal.Load() || h.Context.Covers(ours) || max(h.Context.Missing(ours), ours.Missing(h.Context)) > backWrites {
		return alone
	}
	if x.m.f.cfg.Node < x.id {
		pull.BothWays()
		return asLeader
	}
	if p := x.m.peer(x.id); p != nil && x.led[r.id] && p.follow(r.id, r.core.Forgot(h.Context), x.m.tasks.from(p, r.id)) {
		return asFollower
	}
	return alone
}

// given says how a region that the peer leads comes to it.
type given uint8

const (
	inAnswer given = iota + 1 // in the answer to its pull: our own gives nothing back
	inPull                    // our own pull is to give it back,
	done                      // or has
)

// follow reports whether the peer, which leads, is to be sent nothing of a region: we forgot too, and give it back in our own pull. A
// promise that was not kept is not made again. pulling says that the pull is under way.
func (p *peer) follow(id crdt.RegionID, forgot, pulling bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given == nil {
		p.given = map[crdt.RegionID]given{}
	}
	switch was := p.given[id]; {
	case was == done:
		return true
	case forgot && was == 0:
		p.given[id] = inPull
		return true
	case pulling:
		p.given[id] = inAnswer
	default:
		delete(p.given, id)
	}
	return false
}

// owes reports whether what we have of a region is to be given back, where the peer asks for it.
func (p *peer) owes(id crdt.RegionID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.given[id] != inAnswer
}

func (p *peer) gave(id crdt.RegionID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given == nil {
		p.given = map[crdt.RegionID]given{}
	}
	p.given[id] = done
}

// pulledFrom ends what a pull that is over decided; a promise that it did not keep stays known.
func (p *peer) pulledFrom(regions map[crdt.RegionID]*crdt.Receiver) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range regions {
		if p.given[id] != inPull {
			delete(p.given, id)
		}
	}
}

// follow has a pull give back what the leader is not sent now.
func (x *server) follow(r *Region) {
	if p := x.m.peer(x.id); p != nil && !x.m.tasks.from(p, r.id) {
		p.ask(becauseConnected)
	}
}

// from reports whether a pull from a peer is bringing a region.
func (t *tasks) from(p *peer, id crdt.RegionID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.open[id]
	return k != nil && k.x.p == p
}

// makeBack makes the chunks that the peer asked for. The caller holds the region's lock.
func (x *puller) makeBack(r *Region, rc *crdt.Receiver) {
	back := rc.TakeBack()
	if back == nil {
		return
	}
	x.p.gave(r.id)
	for size := 0; size < backMax; {
		msg := back.Next(chunkBytes)
		if msg == nil || len(msg) > backMax {
			return
		}
		x.back = append(x.back, msg)
		size += len(msg)
	}
}

// giveBack sends them, and says which regions we lead.
func (x *puller) giveBack() error {
	for _, msg := range x.back {
		if err := x.c.send(frameBack, msg); err != nil {
			return err
		}
	}
	lead := x.lead
	if x.back, x.lead = nil, nil; len(lead) == 0 {
		return nil
	}
	x.leading = true
	return x.c.send(frameLead, lead)
}

// takeAhead takes LEAD and BACK, and reports whether it was one of them and right.
func (x *server) takeAhead(kind byte, b []byte) bool {
	switch kind {
	case frameLead:
		ids, err := decodeIDs(b)
		if err != nil || len(ids) > inlineHellos {
			return false
		}
		x.led = make(map[crdt.RegionID]bool, len(ids))
		for _, id := range ids {
			x.led[id] = true
		}
		return true
	case frameBack:
		id, err := crdt.ChunkRegion(b)
		if err != nil || !slices.ContainsFunc(x.waiting, func(a *answer) bool { return a.r.id == id }) {
			return false
		}
		if x.backs == nil {
			x.backs = map[crdt.RegionID][][]byte{}
		}
		x.backs[id] = append(x.backs[id], slices.Clone(b))
		return true
	}
	return false
}

// takeBack merges what the puller gave back of a region, once all of ours was sent.
func (x *server) takeBack(a *answer) (err error) {
	msgs, to := x.backs[a.r.id], a.pull.Back()
	delete(x.backs, a.r.id)
	if a.pull.Waiting() || len(msgs) == 0 || to == nil { // we offered again: what answers that comes with the next reply
		return nil
	}
	r := a.r
	r.await()
	if x.m.f.holdsMerges(r.name) != nil {
		return nil // collect asks for it
	}
	report := PullReport{Peer: x.id, At: x.began, Rounds: x.turns, Chunks: len(msgs)}
	commit, late := r.changed(func(now int64) {
		if r.core.Self() != x.self {
			err = errOtherLife
		} else if r.since(a.life) != nil {
			msgs = nil // the copy was given up
		}
		before := r.core.Seen()
		for i := 0; i < len(msgs) && err == nil; i++ {
			err = to.Merge(msgs[i], now)
			report.BytesIn += uint64(len(msgs[i]))
		}
		report.News = r.core.Seen() - before
	})
	x.m.brought(&report)
	if late {
		_ = commit.Sync(x.m.f.ctx)
	}
	if p := x.m.peer(x.id); p != nil && err == nil && to.Done() {
		p.learnPulled(r.id, to.Cut(), x.m.f.cfg.Now())
	}
	return err
}

// brought counts what came back.
func (m *mesh) brought(report *PullReport) {
	m.chunks.Add(uint64(report.Chunks))
	m.pulledBytes.Add(report.BytesIn)
	if report.Took = m.f.cfg.Now().Sub(report.At); report.News > 0 {
		m.lastPull.Store(report)
	}
}

// lend notes what the peer is to give back. Until the session ends there is no use in asking it what changed.
func (x *server) lend(r *Region, seen crdt.Context) {
	if p := x.m.peer(x.id); p != nil && len(x.owed) == 0 {
		p.owing.Add(1)
	}
	x.owed = append(x.owed, debt{r, seen})
}

// collect pulls in turn, at the end of the session, what the peer had and did not give back; else the usual check after a change follows.
func (x *server) collect() {
	p := x.m.peer(x.id)
	if p == nil || len(x.owed) == 0 {
		return
	}
	p.owing.Add(-1)
	x.m.changed()
	for _, d := range x.owed {
		d.r.mu.RLock()
		paid := d.r.core.Covers(d.seen)
		d.r.mu.RUnlock()
		if !paid {
			p.ask(becauseBehind)
			return
		}
	}
}
