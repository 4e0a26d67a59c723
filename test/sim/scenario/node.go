package scenario

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// node is one simulated process: a real region, and the links, queues and disk around it.
type node struct {
	id     int
	tierID int
	tier   *Tier
	group  int // of a partition
	up     bool
	plug   bool // connected to the network
	links  []*follower

	r           *crdt.Region
	incarnation int
	overlay     map[string][]byte // what was committed on top of the start; nil: removed
	wiped       bool              // and the start is gone too
	commit      *timer

	version uint64 // of the region, when state was taken
	state   uint64 // fingerprint of what it has seen and holds
	counted bool   // in world.states

	outFree, inFree time.Duration // when its access link has sent, and taken, what is queued

	pushed    time.Duration // when it last pushed
	pushTimer *timer
	herald    *timer

	turn  *session    // the pull that holds up others
	pulls []*session  // all that run
	queue []*follower // that wait for their turn to pull
	gate  gate        // for the pulls of others

	use usage
}

func newNode(id, tierID int, tier *Tier) *node {
	return &node{id: id, tierID: tierID, tier: tier, up: true, plug: true, overlay: map[string][]byte{}, pushed: -time.Hour}
}

func (n *node) device() bool { return n.tier.Attach != "" }

func (n *node) follower(peer *node) *follower {
	for _, f := range n.links {
		if f.peer == peer {
			return f
		}
	}
	return nil
}

// feeder is the server that a device gets pushes from: the first that it reaches.
func (n *node) feeder() *node {
	for _, f := range n.links {
		if f.on {
			return f.peer
		}
	}
	return nil
}

// boot starts the node's process from its disk, as a new incarnation.
func (w *world) boot(n *node) {
	n.incarnation++
	n.r = crdt.NewRegion(crdt.Config{
		Name:  w.s.Name,
		Self:  crdt.NewOrigin(crdt.NodeID(fmt.Sprint("node", n.id)), crdt.Nonce{byte(n.incarnation), byte(n.incarnation >> 8)}),
		Push:  true,
		Trace: func(x crdt.Written) { w.wrote(n, x) },

		MaxGhosts: w.s.Start.MaxGhosts,
	})
	image := n.overlay
	if !n.wiped {
		image = maps.Clone(w.start)
		maps.Copy(image, n.overlay)
	}
	for _, k := range slices.Sorted(maps.Keys(image)) {
		if v := image[k]; v != nil {
			w.must(n.r.Load(crdt.Record{Key: []byte(k), Value: v}))
		}
	}
	n.r.Loaded(w.clock())
	n.version = 0
	w.took(n, nil, 0)
}

// content makes the image with which every node starts.
func (w *world) content() map[string][]byte {
	c := &w.s.Start
	all := crdt.NewRegion(crdt.Config{Name: w.s.Name, Self: crdt.NewOrigin("start", crdt.Nonce{})})
	for i := range c.Writers {
		r := crdt.NewRegion(crdt.Config{Name: w.s.Name, Self: crdt.NewOrigin(crdt.NodeID(fmt.Sprint("start", i)), crdt.Nonce{1})})
		for k := i; k < c.Entries; k += c.Writers {
			w.must(r.Update(w.clock(), func(tx *crdt.Tx) error {
				tx.Set(entryKey(k), w.value(c.ValueBytes), false)
				return nil
			}))
		}
		w.pullAll(all, r)
	}
	image := map[string][]byte{}
	for _, rec := range all.TakeDirty() {
		if rec.Value != nil {
			image[string(rec.Key)] = rec.Value
		}
	}
	return image
}

func entryKey(i int) string { return fmt.Sprintf("entry:%06d", i) }

func (w *world) value(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

// pullAll brings to everything that from has, outside of time.
func (w *world) pullAll(to, from *crdt.Region) {
	rc := to.NewReceiver()
	seen, err := crdt.DecodeHello(to.Hello())
	w.must(err)
	p := from.NewPull(seen)
	for msg := p.Next(w.s.Pull.ChunkBytes); msg != nil; msg = p.Next(w.s.Pull.ChunkBytes) {
		w.must(rc.Merge(msg, w.clock()))
	}
}

// commitEvery is how long a write may stay off the disk, as fabric.Config.CommitEvery.
const commitEvery = time.Second

// dirty makes sure that what changed is committed soon, where anybody restarts.
func (w *world) dirty(n *node) {
	if !w.restarts || n.commit != nil {
		return
	}
	n.commit = w.after(commitEvery, func() {
		n.commit = nil
		for _, rec := range n.r.TakeDirty() {
			n.overlay[string(rec.Key)] = rec.Value
		}
	})
}
