package fabric

import (
	"bytes"
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// A node's key is on its disk, and disks are restored and copied. The claim in the node's record tells who writes for
// it, and each process watches its own record:
//
//   - A claim that this disk knows is of an earlier start, and is covered with the first write.
//   - A foreign one was made after this disk was: it was restored from an older backup, or another process has a copy
//     of it. It is covered, and a notice says so; if nobody answers, that was all.
//   - One that was covered and comes back was made by a process that is alive: two have the same key. Both find
//     out, both say so in the record, where every member sees it, and go on: no dot is shared, so nothing is lost.
//
// A member holds one connection to a key: the process that connected last has it, and the other is back when its backoff
// is over. So both get their turn, and what both write gets through; neither ever reaches the other itself.
//
// While the alarm stands each process repeats its claim now and then. It ends when no other has answered for a while.
const (
	reclaimEvery = 10 * time.Minute // how often a claim is repeated while the alarm for a clone stands
	cloneQuiet   = time.Hour        // how long no other process may have answered before the alarm ends
	noticeFor    = 10 * time.Minute // how long a notice stands
	surprisesMax = 4                // unknown claims of a process's time, beyond which they are taken for a clone's
	coveredMax   = 64               // foreign origins that are remembered; beyond it, all are forgotten
)

// identity is what this process knows of the others that write, or wrote, for its node.
type identity struct {
	past      map[crdt.Origin]bool // starts that this disk knows of
	covered   map[crdt.Origin]bool // others whose claim was covered by this process
	claimedAt time.Time
	heard     time.Time  // when another process was last heard of, or this one began to listen
	surprises int        // claims that were not known
	restored  *alarmNote // the notice that is shown
}

func newIdentity() identity {
	return identity{past: map[crdt.Origin]bool{}, covered: map[crdt.Origin]bool{}}
}

// pastOrigins asks the storage for the starts that it knows of. One that does not keep them knows none.
func (f *Fabric) pastOrigins() (map[crdt.Origin]bool, error) {
	out := map[crdt.Origin]bool{}
	s, ok := f.cfg.Storage.(interface{ PastNonces() ([]crdt.Nonce, error) })
	if !ok {
		return out, nil
	}
	nonces, err := s.PastNonces()
	if err != nil {
		return nil, fmt.Errorf("fabric: earlier incarnations: %w", err)
	}
	for _, nonce := range nonces {
		out[crdt.NewOrigin(f.cfg.Node, nonce)] = true
	}
	return out, nil
}

// putClaim writes this incarnation into the node's record, over all that it finds there.
func (n *roster) putClaim(tx *crdt.Tx) {
	f := n.f
	id := string(f.cfg.Node)
	for _, s := range tx.MapSiblings(id, fieldOrigin) {
		if c, ok := parseClaim(s.Value); ok && c.origin != f.Origin() {
			n.cover(c)
		}
	}
	for _, x := range []struct {
		field string
		val   []byte
	}{
		{fieldOrigin, f.self.Load().encode()}, {fieldName, []byte(f.cfg.Name)}, {fieldTier, []byte(f.cfg.Tier)},
		{fieldLabels, []byte(encodeLabels(f.cfg.Labels))}, {fieldDoes, []byte(f.does())},
	} {
		if have, _, _ := tx.MapGet(id, x.field); x.field != fieldOrigin && bytes.Equal(have, x.val) {
			continue
		}
		if _, err := tx.MapSet(id, x.field, x.val); err != nil {
			f.cfg.Logger.Error("the node's own record does not take what it should say", "field", x.field, "err", err)
		}
	}
	if _, said, _ := tx.MapGet(id, fieldLink); said && !f.decider.moves() {
		_, _ = tx.MapDel(id, fieldLink) // a start before this one moved copies
	}
	n.self.claimedAt = f.cfg.Now()
	n.claimed.Store(true)
}

// cover notes that a claim of another process goes under ours.
func (n *roster) cover(c claim) {
	s := &n.self
	_, cloned := n.own().alarms[AlarmClone]
	if !s.past[c.origin] && !s.covered[c.origin] && !cloned && n.f.cfg.Storage != nil { // without a disk every start is news
		s.surprises++
		n.f.leases.forfeit()
		s.restored = &alarmNote{since: n.f.cfg.Now(), detail: fmt.Sprintf(
			"another start of this node, %v of %s, has written, and this disk does not know it; this one writes as %v",
			c.origin, c.since.UTC().Format(time.RFC3339), n.f.Origin())}
	}
	if len(s.covered) >= coveredMax {
		clear(s.covered)
	}
	s.covered[c.origin] = true
}

// claim covers what others claimed. The caller holds mu.
func (n *roster) claim() {
	n.claimed.Store(false)
	if err := n.write(func(*crdt.Tx) error { return nil }); err != nil && !n.f.closed.Load() {
		n.f.cfg.Logger.Error("the node's own record cannot be written", "err", err)
	}
}

// settle answers the claims of others in this node's record. The caller holds mu.
func (n *roster) settle() {
	if n.f.cfg.Transport == nil || n.f.closed.Load() {
		return
	}
	alive, strange, due := n.foreign()
	switch {
	case alive != nil:
		n.cloned(*alive)
	case strange != nil:
		n.surprised(*strange)
	case due:
		n.claim()
	}
}

// foreign looks for claims of other processes: one that is alive, one that this disk does not know, and whether there is
// any to cover.
func (n *roster) foreign() (alive, strange *claim, due bool) {
	for _, c := range n.own().claims {
		switch {
		case c.origin == n.f.Origin():
		case n.self.covered[c.origin]:
			alive = &c
		case !n.self.past[c.origin]:
			strange = &c
		default:
			due = n.claimed.Load()
		}
	}
	return alive, strange, due
}

// surprised covers a claim that was made after this disk was. One after the other of them is more than a backup explains.
func (n *roster) surprised(c claim) {
	if _, cloned := n.own().alarms[AlarmClone]; cloned || n.self.surprises >= surprisesMax {
		n.cloned(c)
		return
	}
	n.claim()
}

// cloned raises the alarm, or holds it up.
func (n *roster) cloned(c claim) {
	now := n.f.cfg.Now()
	n.self.heard, n.self.restored = now, nil
	n.f.leases.forfeit()
	_, known := n.own().alarms[AlarmClone]
	if known && now.Sub(n.self.claimedAt) < reclaimEvery {
		return
	}
	if !known {
		n.putAlarm(AlarmClone, fmt.Sprintf("two processes write with this node's key: %v, started %s, and %v, started %s",
			n.f.Origin(), n.f.self.Load().since.UTC().Format(time.RFC3339), c.origin, c.since.UTC().Format(time.RFC3339)))
	}
	n.claim()
}

// tick ends what time ends, and repeats the claim while another process may be alive.
func (n *roster) tick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.f.cfg.Now()
	if x := n.self.restored; x != nil && now.Sub(x.since) >= noticeFor {
		n.self.restored = nil
	}
	if _, known := n.own().alarms[AlarmClone]; known && n.f.cfg.Transport != nil {
		n.listen(now)
	}
	n.disk()
	n.memory()
	n.quotas()
	n.tell()
}

// listen goes on as long as the alarm for a clone stands.
func (n *roster) listen(now time.Time) {
	if n.self.heard.IsZero() {
		n.self.heard = now // the alarm is older than this process
	}
	switch {
	case now.Sub(n.self.heard) >= cloneQuiet:
		n.dropAlarm(n.f.cfg.Node, AlarmClone)
	case now.Sub(n.self.claimedAt) >= reclaimEvery:
		n.claim()
	}
}
