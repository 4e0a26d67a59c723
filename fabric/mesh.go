package fabric

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Mesh is an in-memory network for tests: every node reaches every other, until a link is cut or loses
// frames. Its random choices come from one seed.
type Mesh struct {
	mu    sync.Mutex
	nodes map[crdt.NodeID]*MeshNode
	twins map[crdt.NodeID]*MeshNode // a second node of one id each, out of reach until Swap
	cut   map[[2]crdt.NodeID]bool
	loss  float64
	tiers map[crdt.NodeID]string // edge, where it says nothing
	rate  int
	rnd   *rand.Rand
}

// errCut is what a dial over a cut link gives.
var errCut = errors.New("fabric: mesh: no link")

// NewMesh makes an empty network.
func NewMesh(seed uint64) *Mesh {
	return &Mesh{nodes: map[crdt.NodeID]*MeshNode{}, twins: map[crdt.NodeID]*MeshNode{}, cut: map[[2]crdt.NodeID]bool{}, tiers: map[crdt.NodeID]string{}, rnd: rand.New(rand.NewPCG(seed, 2))}
}

// Node makes the transport of one node.
func (m *Mesh) Node(id crdt.NodeID) *MeshNode {
	return &MeshNode{m: m, id: id, streams: map[net.Conn]crdt.NodeID{}, inbox: make(chan meshFrame, meshInbox)}
}

// SetLoss makes every pushed frame get lost with probability p.
func (m *Mesh) SetLoss(p float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loss = p
}

// SetRate makes each node send at most so many bytes a second on its streams, all together. 0, the default, is no limit.
func (m *Mesh) SetRate(bytesPerSecond int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rate = bytesPerSecond
}

// SetTier makes others see a node in a tier from its next connection on. Default: edge.
func (m *Mesh) SetTier(id crdt.NodeID, tier string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tiers[id] = tier
}

func (m *Mesh) tierOf(id crdt.NodeID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return cmp.Or(m.tiers[id], "edge")
}

// Cut takes the link between two nodes down; streams over it break.
func (m *Mesh) Cut(a, b crdt.NodeID) { m.link(a, b, false) }

// Heal brings the link between two nodes back.
func (m *Mesh) Heal(a, b crdt.NodeID) { m.link(a, b, true) }

func linkOf(a, b crdt.NodeID) [2]crdt.NodeID {
	if b < a {
		a, b = b, a
	}
	return [2]crdt.NodeID{a, b}
}

func (m *Mesh) link(a, b crdt.NodeID, up bool) {
	m.mu.Lock()
	l := linkOf(a, b)
	was := !m.cut[l]
	m.cut[l] = !up
	x, y := m.nodes[a], m.nodes[b]
	m.mu.Unlock()
	if was == up || x == nil || y == nil {
		return
	}
	x.peer(y, up)
	y.peer(x, up)
}

// Swap lets the two nodes of one id change places: the links of the one end, and the other takes them up. So does a member
// of a real network see a cloned node, whose newer connection ends the older.
func (m *Mesh) Swap(id crdt.NodeID) {
	m.mu.Lock()
	front, back := m.nodes[id], m.twins[id]
	m.mu.Unlock()
	if back == nil {
		return
	}
	m.unlink(front)
	m.mu.Lock()
	m.nodes[id], m.twins[id] = back, front
	m.mu.Unlock()
	m.linkUp(back)
}

func (m *Mesh) unlink(n *MeshNode) {
	for _, other := range m.neighbours(n, false) {
		n.peer(other, false)
		other.peer(n, false)
	}
}

func (m *Mesh) linkUp(n *MeshNode) {
	for _, other := range m.neighbours(n, false) {
		n.peer(other, true)
		other.peer(n, true)
	}
}

func (m *Mesh) linked(n *MeshNode, b crdt.NodeID) *MeshNode {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut[linkOf(n.id, b)] || m.nodes[n.id] != n {
		return nil
	}
	return m.nodes[b]
}

// neighbours lists the nodes that one is linked to, without those that lose this frame.
func (m *Mesh) neighbours(n *MeshNode, lossy bool) []*MeshNode {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := n.id
	if m.nodes[id] != n {
		return nil
	}
	var out []*MeshNode
	for _, other := range slices.Sorted(maps.Keys(m.nodes)) { // sorted, so that one seed loses the same frames
		n := m.nodes[other]
		if other != id && !m.cut[linkOf(id, other)] && (!lossy || m.rnd.Float64() >= m.loss) {
			out = append(out, n)
		}
	}
	return out
}

// meshInbox is how many pushed frames may wait at a node; more are lost, as in a real network.
const meshInbox = 1024

type meshFrame struct {
	from crdt.NodeID
	b    []byte
}

// MeshNode is a Transport in a Mesh.
type MeshNode struct {
	m        *Mesh
	id       crdt.NodeID
	onPeer   func(crdt.NodeID, string, string, bool)
	onGossip func(crdt.NodeID, []byte)
	onStream func(crdt.NodeID, io.ReadWriteCloser)
	inbox    chan meshFrame
	stop     chan struct{}
	stopped  chan struct{}

	mu      sync.Mutex
	streams map[net.Conn]crdt.NodeID
	closed  bool
	free    time.Time      // when what was sent before has left
	calls   sync.WaitGroup // callbacks that run; Close waits for them
}

// enter begins a callback, unless the node is closed.
func (n *MeshNode) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.calls.Add(1)
	}
	return !n.closed
}

// Self names the node.
func (n *MeshNode) Self() crdt.NodeID { return n.id }

// Serve joins the network. Of two nodes with one id the second waits for Swap, or for the end of the first.
func (n *MeshNode) Serve(onPeer func(crdt.NodeID, string, string, bool), onGossip func(crdt.NodeID, []byte),
	onStream func(crdt.NodeID, io.ReadWriteCloser)) error {
	n.onPeer, n.onGossip, n.onStream = onPeer, onGossip, onStream
	n.stop, n.stopped = make(chan struct{}), make(chan struct{})
	n.m.mu.Lock()
	switch {
	case n.m.nodes[n.id] == nil:
		n.m.nodes[n.id] = n
	case n.m.twins[n.id] == nil:
		n.m.twins[n.id] = n
	default:
		n.m.mu.Unlock()
		return fmt.Errorf("fabric: mesh: node %q is there twice already", n.id)
	}
	n.m.mu.Unlock()
	go n.deliver()
	n.m.linkUp(n)
	return nil
}

func (n *MeshNode) deliver() {
	defer close(n.stopped)
	for {
		select {
		case <-n.stop:
			return
		case f := <-n.inbox:
			n.onGossip(f.from, f.b)
		}
	}
}

func (n *MeshNode) peer(other *MeshNode, up bool) {
	n.mu.Lock()
	if !up {
		for s, id := range n.streams {
			if id == other.id {
				_ = s.Close()
				delete(n.streams, s)
			}
		}
	}
	n.mu.Unlock()
	if n.enter() {
		defer n.calls.Done()
		n.onPeer(other.id, string(other.id), n.m.tierOf(other.id), up)
	}
}

// Publish gives the frame to every neighbour whose link does not lose it.
func (n *MeshNode) Publish(ctx context.Context, frame []byte) error {
	return n.PublishTo(ctx, frame, func(crdt.NodeID) bool { return true })
}

// PublishTo gives the frame to those of the neighbours that want it.
func (n *MeshNode) PublishTo(_ context.Context, frame []byte, wanted func(crdt.NodeID) bool) error {
	for _, other := range n.m.neighbours(n, true) {
		if !wanted(other.id) {
			continue
		}
		select {
		case other.inbox <- meshFrame{n.id, append([]byte(nil), frame...)}:
		default:
		}
	}
	return nil
}

// OpenStream opens a stream to a neighbour.
func (n *MeshNode) OpenStream(_ context.Context, id crdt.NodeID) (io.ReadWriteCloser, error) {
	other := n.m.linked(n, id)
	if other == nil {
		return nil, fmt.Errorf("%w from %q to %q", errCut, n.id, id)
	}
	if !other.enter() {
		return nil, fmt.Errorf("%w from %q to %q", errCut, n.id, id)
	}
	defer other.calls.Done()
	a, b := net.Pipe()
	s := n.track(a, id)
	other.onStream(n.id, other.track(b, n.id))
	return s, nil
}

// meshStream is one side of a stream. Its node forgets it when it is closed.
type meshStream struct {
	net.Conn
	n *MeshNode
}

// Write takes the time that the node's rate asks for.
func (s meshStream) Write(b []byte) (int, error) {
	s.n.send(len(b))
	return s.Conn.Write(b)
}

func (n *MeshNode) send(size int) {
	n.m.mu.Lock()
	rate := n.m.rate
	n.m.mu.Unlock()
	if rate == 0 {
		return
	}
	n.mu.Lock()
	if now := time.Now(); n.free.Before(now) {
		n.free = now
	}
	n.free = n.free.Add(time.Duration(float64(size) / float64(rate) * float64(time.Second)))
	wait := time.Until(n.free)
	n.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-n.stop: // Close waits for who writes
	}
}

func (s meshStream) Close() error {
	s.n.mu.Lock()
	delete(s.n.streams, s.Conn)
	s.n.mu.Unlock()
	return s.Conn.Close()
}

func (n *MeshNode) track(s net.Conn, id crdt.NodeID) meshStream {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		_ = s.Close()
	} else {
		n.streams[s] = id
	}
	return meshStream{s, n}
}

// Close leaves the network.
func (n *MeshNode) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	for s := range n.streams {
		_ = s.Close()
	}
	n.mu.Unlock()
	if n.stop == nil {
		return nil
	}
	for _, other := range n.m.leave(n) {
		other.peer(n, false)
	}
	n.m.promote(n.id)
	close(n.stop)
	<-n.stopped
	n.calls.Wait()
	return nil
}

// leave takes a node out of the network, and gives those that it was linked to.
func (m *Mesh) leave(n *MeshNode) []*MeshNode {
	others := m.neighbours(n, false)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes[n.id] == n {
		delete(m.nodes, n.id)
	} else if m.twins[n.id] == n {
		delete(m.twins, n.id)
	}
	return others
}

// promote gives the links of a node that left to its twin.
func (m *Mesh) promote(id crdt.NodeID) {
	m.mu.Lock()
	twin := m.twins[id]
	if m.nodes[id] != nil || twin == nil {
		m.mu.Unlock()
		return
	}
	m.nodes[id] = twin
	delete(m.twins, id)
	m.mu.Unlock()
	m.linkUp(twin)
}
