package scenario

import (
	"slices"
	"time"
)

// frame is one pushed message on its way through the mesh. Nodes tell copies by its content, as gossipsub does.
type frame struct {
	body   []byte
	seen   []bool // by node
	copies []uint16
	spared map[[2]int]bool // {from, to}: to has told from that it wants no copy
}

const dontWantBytes = 40

// push publishes what the region has to push: at once after a quiet window, else at its end.
func (w *world) push(n *node) {
	if n.r.Outbound() == 0 || n.pushTimer != nil {
		return
	}
	if due := n.pushed + time.Duration(w.s.Gossip.Window); due > w.now {
		n.pushTimer = w.when(due, func() {
			n.pushTimer = nil
			w.push(n)
		})
		return
	}
	n.pushed = w.now
	if !slices.ContainsFunc(n.links, (*follower).feeds) {
		n.r.DropPush() // nobody hears it; peers will pull
		return
	}
	for _, body := range n.r.TakePush() {
		w.frames++
		w.frameBytes += int64(len(body))
		fr := &frame{body: body, seen: make([]bool, len(w.nodes)), copies: make([]uint16, len(w.nodes))}
		fr.seen[n.id] = true
		w.forward(n, nil, fr, 1)
	}
}

// feeds tells whether a pushes to its neighbour: along the mesh, and between a device and the one server that feeds it.
func (f *follower) feeds() bool {
	switch {
	case !f.on:
		return false
	case f.peer.device():
		return f.peer.feeder() == f.self
	case f.self.device():
		return f.self.feeder() == f.peer
	}
	return f.mesh
}

func (w *world) forward(n, from *node, fr *frame, hop int) {
	for _, f := range n.links {
		if f.peer == from || !f.feeds() || fr.spared[[2]int{n.id, f.peer.id}] {
			continue
		}
		w.send(f, len(fr.body)+gossipOverhead, false, nil, func() { w.receive(f.peer, n, fr, hop) })
	}
}

// receive takes a copy of a frame that came along hop links.
func (w *world) receive(n, from *node, fr *frame, hop int) {
	n.use.copies++
	fr.copies[n.id]++
	w.noteCopies(n, int(fr.copies[n.id]))
	if fr.seen[n.id] {
		return
	}
	fr.seen[n.id] = true
	n.use.frames++
	w.dontWant(n, from, fr)
	w.after(time.Duration(w.s.Gossip.RelayDelay), func() {
		if n.up {
			w.forward(n, from, fr, hop+1)
		}
	})
	gap, err := n.r.Push(fr.body, w.clock())
	w.must(err)
	w.took(n, from, hop)
	if f := n.follower(from); gap && f != nil {
		w.ask(f, becauseGap)
	}
}

// dontWant tells the mesh that no further copy of a large frame is wanted.
func (w *world) dontWant(n, from *node, fr *frame) {
	if w.s.Gossip.DontWant == 0 || len(fr.body) < w.s.Gossip.DontWant || n.device() {
		return
	}
	for _, f := range n.links {
		if f.peer != from && f.feeds() && !f.peer.device() {
			w.send(f, dontWantBytes+gossipOverhead, false, nil, func() {
				if fr.spared == nil {
					fr.spared = map[[2]int]bool{}
				}
				fr.spared[[2]int{f.peer.id, n.id}] = true
			})
		}
	}
}
