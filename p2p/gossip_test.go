package p2p

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
)

// serverMesh is a topic of servers, with the parameters of a Host, over a network in memory.
type serverMesh struct {
	tb        testing.TB
	servers   []*meshServer
	copies    atomic.Int64 // frames received
	delivered atomic.Int64 // and delivered
}

type meshServer struct {
	deafTracer
	m     *serverMesh
	host  host.Host
	topic *pubsub.Topic

	mu   sync.Mutex
	mesh map[peer.ID]bool // its neighbours in gossipsub's mesh
}

func (s *meshServer) Graft(p peer.ID, _ string) { s.set(p, true) }

// Prune may come for a peer that is not in the mesh.
func (s *meshServer) Prune(p peer.ID, _ string) { s.set(p, false) }

func (s *meshServer) set(p peer.ID, in bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.mesh, p); in {
		s.mesh[p] = true
	}
}

func (s *meshServer) neighbours() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mesh)
}

func (s *meshServer) RecvRPC(rpc *pubsub.RPC) { s.m.copies.Add(int64(len(rpc.GetPublish()))) }

// newServerMesh connects each server to some others, by a fixed draw.
func newServerMesh(tb testing.TB, servers, dials int) *serverMesh {
	tb.Helper()
	net := mocknet.New()
	m := &serverMesh{tb: tb}
	ctx, cancel := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	tb.Cleanup(func() {
		cancel()
		net.Close()
		readers.Wait()
	})
	for range servers {
		s := &meshServer{m: m, mesh: map[peer.ID]bool{}}
		s.open(ctx, net)
		sub, err := s.topic.Subscribe(pubsub.WithBufferSize(gossipInbound))
		m.must(err)
		readers.Go(func() { m.read(ctx, s, sub) })
		m.servers = append(m.servers, s)
	}
	rnd := mathrand.New(mathrand.NewPCG(1, 2))
	for i, s := range m.servers {
		for range dials {
			if j := rnd.IntN(servers); i != j {
				_, err := net.LinkPeers(s.host.ID(), m.servers[j].host.ID())
				m.must(err)
				_, err = net.ConnectPeers(s.host.ID(), m.servers[j].host.ID())
				m.must(err)
			}
		}
	}
	return m
}

func (m *serverMesh) must(err error) {
	m.tb.Helper()
	if err != nil {
		m.tb.Fatal(err)
	}
}

func (s *meshServer) open(ctx context.Context, net mocknet.Mocknet) {
	var err error
	s.host, err = net.GenPeer()
	s.m.must(err)
	ps, err := pubsub.NewGossipSub(ctx, s.host, gossipOptions(s)...)
	s.m.must(err)
	s.topic, err = ps.Join("mesh")
	s.m.must(err)
}

func (m *serverMesh) read(ctx context.Context, s *meshServer, sub *pubsub.Subscription) {
	for {
		msg, err := sub.Next(ctx)
		if err != nil {
			return
		}
		if msg.ReceivedFrom != s.host.ID() {
			m.delivered.Add(1)
		}
	}
}

// await polls, for what no event tells of.
func (m *serverMesh) await(what string, ok func() bool) {
	m.tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			m.tb.Fatalf("not within %v: %s", 2*patience, what)
		}
	}
}

// settle waits until every server has the neighbours that it wants.
func (m *serverMesh) settle() {
	p := gossipParams()
	m.await("the mesh settles", func() bool {
		for _, s := range m.servers {
			if n := s.neighbours(); n < p.Dlo || n >= p.Dhi {
				return false
			}
		}
		return true
	})
}

// spread publishes frames, one after the other, and gives the copies that a server receives of each.
func (m *serverMesh) spread(frames, frameBytes int) float64 {
	before := m.copies.Load()
	for i := range frames {
		want := m.delivered.Load() + int64(len(m.servers)-1)
		frame := make([]byte, frameBytes)
		rand.Read(frame)
		m.must(m.servers[i%len(m.servers)].topic.Publish(context.Background(), frame))
		m.await(fmt.Sprintf("frame %d arrives everywhere", i), func() bool { return m.delivered.Load() >= want })
	}
	return float64(m.copies.Load()-before) / float64(frames*(len(m.servers)-1))
}

// A frame reaches each of 40 servers, and none more than 4 times on average; a larger one less often, because of
// IDONTWANT.
func TestServerMeshCopies(t *testing.T) {
	t.Parallel()
	m := newServerMesh(t, 40, 6)
	m.settle()
	for _, size := range []int{200, 4096} {
		copies := m.spread(40, size)
		t.Logf("%d servers, frames of %d bytes: %.2f copies", len(m.servers), size, copies)
		if copies > 4 {
			t.Errorf("frames of %d bytes: %.2f copies a server, want at most 4", size, copies)
		}
	}
}

// The copies of a frame that a server receives, by the size of the mesh and of the frame.
//
//	go test -run xxx -bench MeshCopies -benchtime 100x ./p2p
func BenchmarkMeshCopies(b *testing.B) {
	for _, servers := range []int{30, 100, 300} {
		for _, size := range []int{200, 2300, 60 << 10} {
			b.Run(fmt.Sprintf("servers=%d/bytes=%d", servers, size), func(b *testing.B) {
				m := newServerMesh(b, servers, 12)
				m.settle()
				b.ResetTimer()
				b.ReportMetric(m.spread(b.N, size), "copies")
			})
		}
	}
}
