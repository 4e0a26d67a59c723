package fabric

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric/lease"
)

// Voters tells who votes on leases, as far as is known here.
func (f *Fabric) Voters() Voters {
	l := f.leases
	l.mu.Lock()
	var out Voters
	if l.v != nil {
		out.Votes, out.Torn = l.v.Votes(), l.v.Torn()
	}
	l.mu.Unlock()
	e := l.known.Load()
	out.Epoch, out.Voters = e.Epoch, []Voter{}
	if e.Epoch == 0 {
		return out
	}
	out.Need = e.Need()
	names := f.nodeNames()
	for _, m := range e.Voters {
		_, up := f.mesh.upSince(m.Node)
		out.Voters = append(out.Voters, Voter{ID: m.Node, Name: names[m.Node], Connected: up || m.Node == f.cfg.Node})
	}
	return out
}

// SetVoters names the nodes that vote on leases, by id or name: an odd number of core members, tier edge and above, which are in different places and stay. The first time all
// core members that are known, here and to each other, must agree; later a majority of those that vote. Leases that are held then last as long as they were
// granted for, but cannot be renewed, and new ones are granted when the last of them is over. A voter that lost its disk, or was restored from a backup, or is a copy of
// another has no vote until the voters are named again, the same ones perhaps. Each of them has to be connected. It waits until ctx ends, 30 s at most. Errors:
// ErrNoNode, ErrAmbiguous, ErrBadLease, ErrNoMajority, which names who is missing, ErrClosed, ErrNotDurable, the context's. After an error voters may be waiting for
// the change to be made: make it again.
func (f *Fabric) SetVoters(ctx context.Context, nodes []string) (Voters, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*leaseTime)
	defer cancel()
	want, err := f.electable(nodes)
	if err != nil {
		return Voters{}, err
	}
	l := f.leases
	for try := 1; ; try++ {
		if f.closed.Load() {
			return Voters{}, ErrClosed
		}
		done, err := l.rename(ctx, want)
		var soon *soonError
		if err != nil && !errors.As(err, &soon) || done {
			return f.Voters(), err
		}
		if try >= triesMax || !sleep(ctx, 20*time.Millisecond*time.Duration(min(try, 10))) {
			if soon != nil {
				return f.Voters(), soon.error
			}
			return f.Voters(), fmt.Errorf("%w: others came first", cmp.Or(context.Cause(ctx), ErrNoMajority))
		}
	}
}

// soonError is that of an attempt in which voters were missing that started a moment ago.
type soonError struct{ error }

// electable finds the nodes that are to vote, by id.
func (f *Fabric) electable(nodes []string) (out []crdt.NodeID, err error) {
	core := f.core()
	for _, n := range nodes {
		id, err := f.nodeCalled(n)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(core, id) {
			return nil, fmt.Errorf("%w: %s cannot vote: it is a device, or retired", ErrBadLease, n)
		}
		out = append(out, id)
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) == 0 || len(out) > lease.VotersMax {
		return nil, fmt.Errorf("%w: %d voters: want 1 to %d", ErrBadLease, len(out), lease.VotersMax)
	}
	return out, nil
}

// rename makes one attempt to have the voters named. It is not done when others came first.
func (l *leases) rename(ctx context.Context, want []crdt.NodeID) (done bool, err error) {
	c := lease.Change{From: *l.known.Load(), Asked: l.f.core(), Ballot: lease.Ballot{N: l.high.Load() + 1, By: nonce()}}
	if c.From.Epoch > 0 {
		c.Asked = nil
	}
	if len(c.Asked) > lease.AskedMax {
		return false, fmt.Errorf("%w: %d core members: %d at most can agree on the first voters", ErrBadLease, len(c.Asked), lease.AskedMax)
	}
	if newer, err := l.sound(ctx, &c); err != nil || newer {
		return false, err
	}
	no := map[crdt.NodeID]string{}
	l.consult(ctx, want, &lease.Request{Kind: lease.Join}, func(id crdt.NodeID, r *lease.Reply, err error) bool {
		if err != nil {
			no[id] = err.Error()
		} else {
			c.Voters = append(c.Voters, lease.Member{Node: id, Nonce: r.Nonce})
		}
		return false
	})
	if len(no) > 0 {
		return false, fmt.Errorf("%w: each node that is to vote must be connected: %s", ErrNoMajority, l.missing(no))
	}
	slices.SortFunc(c.Voters, func(a, b lease.Member) int { return cmp.Compare(a.Node, b.Node) })
	if slices.Equal(c.Voters, c.From.Voters) {
		e, begin := l.electorate()
		l.spread(ctx, &e, begin, want)
		return true, l.announced()
	}
	return l.decide(ctx, &c)
}

// sound asks the deciders whether they would take part, before any of them stops voting for a change that cannot be made. newer: there is a
// newer electorate.
func (l *leases) sound(ctx context.Context, c *lease.Change) (newer bool, err error) {
	yes, deciders, no := 0, c.Deciders(), map[crdt.NodeID]string{}
	best, begin := c.From, lease.Start{}
	l.consult(ctx, deciders, &lease.Request{Kind: lease.Ask, Asked: c.Asked}, func(id crdt.NodeID, r *lease.Reply, err error) bool {
		switch {
		case err != nil:
			no[id] = err.Error()
		case r.Status != lease.OK:
			no[id] = whyNot(r)
		default:
			yes++
		}
		if err == nil && r.Known.Epoch > best.Epoch {
			best, begin = r.Known, r.Begin
		}
		return false
	})
	need := c.From.Need()
	if c.From.Epoch == 0 {
		need = len(deciders)
	}
	if best.Epoch > c.From.Epoch {
		return true, l.learn(best, begin)
	}
	if yes < need {
		return false, fmt.Errorf("%w: %d of %d nodes agree, %d are needed: %s", ErrNoMajority, yes, len(deciders), need, l.missing(no))
	}
	return false, nil
}

func whyNot(r *lease.Reply) string {
	if r.Detail != "" {
		return r.Status.String() + ", " + r.Detail
	}
	return r.Status.String()
}

// decide runs a change to its end.
func (l *leases) decide(ctx context.Context, c *lease.Change) (done bool, err error) {
	q, wanted := c.Begin(), c.Voters
	no := map[crdt.NodeID]string{}
	for again := true; again; {
		again, no = false, map[crdt.NodeID]string{}
		asked := q
		l.consult(ctx, c.Deciders(), &asked, func(id crdt.NodeID, r *lease.Reply, err error) bool {
			switch {
			case err != nil:
				no[id] = err.Error()
				return false
			case r.Status != lease.OK:
				no[id] = whyNot(r)
			}
			if next := c.Take(id, asked.Kind, r); next != nil {
				q, again = *next, true
				return true
			}
			return c.Result().Verdict != lease.Open
		})
	}
	res := c.Result()
	l.meet(max(res.High, c.Ballot.N))
	switch res.Verdict {
	case lease.Granted:
		if err := l.learn(res.Next, res.Begin); err != nil {
			return false, err
		}
		l.spread(ctx, &res.Next, res.Begin, append(nodesOf(res.Next.Voters), c.Deciders()...))
		return slices.Equal(res.Next.Voters, wanted), l.announced()
	case lease.Beaten:
		return false, nil
	case lease.Replaced:
		return false, l.learn(res.Known, res.Begin)
	}
	err = fmt.Errorf("%w: %d of %d nodes agreed, %d are needed: %s", ErrNoMajority, len(c.Deciders())-len(no), len(c.Deciders()), res.Need, l.missing(no))
	for _, r := range res.No {
		if r.Status == lease.NotYet {
			return false, &soonError{err}
		}
	}
	return false, err
}

// spread tells nodes what was decided. Who does not hear it finds it in the catalogue.
func (l *leases) spread(ctx context.Context, e *lease.Electorate, begin lease.Start, nodes []crdt.NodeID) {
	slices.Sort(nodes)
	l.consult(ctx, slices.Compact(nodes), &lease.Request{Kind: lease.Learn, Epoch: e.Epoch, Next: *e, Start: begin},
		func(crdt.NodeID, *lease.Reply, error) bool { return false })
}

// announced is publish for who waits for it.
func (l *leases) announced() error {
	if err := l.publish(); err != nil && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("fabric: voters are named, but not in the catalogue: %w", err)
	}
	return nil
}

// electorate is the newest that this node knows, and how it began.
func (l *leases) electorate() (e lease.Electorate, begin lease.Start) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.v != nil {
		e, begin = l.v.Known()
	}
	return e, begin
}

// publish writes the electorate that this node knows into the catalogue, for every member to find. A field for each founding, so that two are seen.
func (l *leases) publish() error {
	e, begin := l.electorate()
	if e.Epoch == 0 {
		return nil
	}
	field := fmt.Sprintf("%x", e.Root[:])
	text := lease.AppendKnown(nil, &e, begin)
	return l.f.tell(func(tx *crdt.Tx) error {
		if have, _, _ := tx.MapGet(electorateKey, field); have != nil {
			if known, _, err := lease.DecodeKnown(have); err == nil && known.Epoch >= e.Epoch {
				return nil
			}
		}
		_, err := tx.MapSet(electorateKey, field, text)
		return err
	})
}

// electoratesMax bounds the fields that are read.
const electoratesMax = 16

// read takes over what the catalogue says. The caller holds no lock of the catalogue.
func (l *leases) read() {
	type known struct {
		e     lease.Electorate
		begin lease.Start
	}
	var all []known
	_ = l.f.catalogue.View(func(v *crdt.View) {
		_ = v.MapEach(electorateKey, func(field string, _ []byte) bool { // no map: nobody votes
			for _, s := range v.MapSiblings(electorateKey, field) {
				if e, begin, err := lease.DecodeKnown(s.Value); err == nil && e.Epoch > 0 && len(all) < electoratesMax {
					all = append(all, known{e, begin})
				}
			}
			return true
		})
	})
	slices.SortFunc(all, func(a, b known) int { return cmp.Compare(a.e.Epoch, b.e.Epoch) })
	for _, x := range all {
		if err := l.learn(x.e, x.begin); err != nil && !l.f.closed.Load() {
			l.f.cfg.Logger.Error("who votes on leases cannot be written down", "epoch", x.e.Epoch, "err", err)
		}
	}
}
