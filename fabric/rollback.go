package fabric

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// A process can be put back without a restart: a machine's snapshot is restored, with all its memory. It then writes dots that
// it has written before. A peer that knows more of our writes than we made gives it away, in a push, a pull or a hello; the
// process takes a new incarnation, as a start does, and goes on. What both lives wrote under one dot is kept: ours is written
// again under the new origin.

// rollbackApart is the least time between two new incarnations of one process, so that a peer which tells stories costs little;
// within it what it sends is refused.
const rollbackApart = time.Minute

// undone passes an error on, and sees to it if it says that we were rolled back. self is the origin that we had when it arose.
// The caller holds no lock.
func (f *Fabric) undone(self crdt.Origin, err error) error {
	if errors.Is(err, crdt.ErrRolledBack) {
		f.rolledBack(self, err)
	}
	return err
}

func (f *Fabric) rolledBack(self crdt.Origin, why error) {
	f.rolling.Lock()
	defer f.rolling.Unlock()
	now := f.cfg.Now()
	if f.Origin() != self || f.closed.Load() || !f.rolledAt.IsZero() && now.Sub(f.rolledAt) < rollbackApart {
		return
	}
	if err := f.incarnate(f.ctx, crdt.LeastNumber(why)); err != nil {
		f.cfg.Logger.Error("this process was rolled back, and can take no new incarnation yet; what peers send is refused until it can", "why", why, "err", err)
		return
	}
	f.rolledAt = now
	f.leases.forfeit()
	again, left := f.reincarnate(self)
	f.roster.reincarnated(self)
	f.raise(AlarmRolledBack, "%v; it goes on as %v. Of what it wrote since the state that it was put back to, %d writes were made again, and %d "+
		"could not be: increments of counters, and removals of whole entries", why, f.Origin(), again, left)
}

// reincarnate gives every region the new origin.
func (f *Fabric) reincarnate(old crdt.Origin) (again, left int) {
	for _, r := range f.all() {
		c, late := r.changed(func(now int64) {
			if r.core.Self() != old {
				return // made since
			}
			a, l := r.core.Reincarnate(f.Origin(), crdt.Seq(r.told.Swap(0)), now)
			again, left = again+a, left+l
			r.core.DropPush() // a push would say that what is written again covers the old dot, which the other life's write has too
		})
		if late {
			_ = c.Sync(f.ctx)
		}
	}
	return again, left
}

// reincarnated takes over that this process has a new origin.
func (n *roster) reincarnated(old crdt.Origin) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.self.past[old] = true
	n.refresh()
	n.claim()
	n.tell()
}

// errOtherLife ends a pull that began before this process took a new incarnation: what it told the peer to have seen then, it has
// to get anew.
var errOtherLife = errors.New("fabric: this process was rolled back during the pull")

// sameLife refuses what a peer sends as an answer to what we had seen in an earlier life. The caller holds the region's lock.
func (x *puller) sameLife(r *Region) error {
	if r.core.Self() != x.self {
		return errOtherLife
	}
	return nil
}

// incarnate takes a new incarnation, whose number is least at least.
func (f *Fabric) incarnate(ctx context.Context, least uint32) error {
	var nonce crdt.Nonce
	var err error
	if f.cfg.Storage != nil {
		nonce, err = f.cfg.Storage.NewIncarnation(ctx, f.cfg.Node, least)
	} else {
		nonce, err = f.draw(least)
	}
	if err != nil {
		return fmt.Errorf("fabric: new incarnation: %w", err)
	}
	f.self.Store(&claim{crdt.NewOrigin(f.cfg.Node, nonce), f.cfg.Now()})
	return nil
}

// passLines takes another incarnation where the disk has this node's line beyond the one that was given: the list of starts was
// lost, and the clock is wrong. Nothing was written yet.
func (f *Fabric) passLines(ctx context.Context) error {
	old := f.Origin()
	var line crdt.Seq
	for _, r := range f.regions {
		line = max(line, r.core.Context()[old.Line()].Base)
	}
	if line <= crdt.Seq(old.Number()) {
		return nil
	}
	if err := f.incarnate(ctx, uint32(line)); err != nil {
		return err
	}
	for _, r := range f.regions {
		r.core.Reincarnate(f.Origin(), 0, f.now())
	}
	return nil
}

// draw gives the nonce of a start that nothing remembers.
func (f *Fabric) draw(least uint32) (crdt.Nonce, error) {
	var random [16]byte
	_, err := rand.Read(random[:])
	if was := f.self.Load(); was != nil {
		least = max(least, was.origin.Number()+1)
	}
	return crdt.NewNonce(crdt.StartNumber(f.now(), max(least, 1)-1), random), err
}

// remember keeps how far a peer that went away knew our writes. It is what a roll-back relies on, so what was learned on the
// connection on which the roll-back shows must not count.
func (f *Fabric) remember(p *peer) {
	for _, r := range f.all() {
		r.mu.RLock()
		if r.core.OwnTop() > 0 {
			k, _ := p.knows(r)
			r.told.Store(max(r.told.Load(), uint64(k.context[r.core.Self()].Base)))
		}
		r.mu.RUnlock()
	}
}
