package fabric

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// mesh keeps this node in step with the members it is connected to. Pushes spread news at once and may be
// lost; pulls make delivery certain. Each peer has one goroutine that decides when to pull from it:
// on connect, when a push left a gap, when the peer's own pull showed that it has more, when
// something changed, and now and then.
type mesh struct {
	f      *Fabric
	up     atomic.Int32 // connected peers
	prints *prints
	can    abilities

	mu    sync.Mutex
	peers map[crdt.NodeID]*peer

	news    chan struct{} // capacity 1: one signal stands for any number
	pulling chan struct{} // a token: one pull at a time, so that no two peers send the same
	serving chan struct{} // tokens: pulls that are answered at the same time

	pulls, rounds, chunks, pulledBytes, servedBytes, failures atomic.Uint64
	lastPull                                                  atomic.Pointer[PullReport]
}

// servingMax bounds the pulls that are answered at once; the next wait in their streams.
const servingMax = 8

func newMesh(f *Fabric) *mesh {
	m := &mesh{f: f, can: ourAbilities &^ f.cfg.lack, peers: map[crdt.NodeID]*peer{}, news: make(chan struct{}, 1), pulling: make(chan struct{}, 1), serving: make(chan struct{}, servingMax)}
	m.prints = newPrints(m)
	return m
}

// peer is a member that we are, or were, connected to.
type peer struct {
	id         crdt.NodeID
	name, tier string
	cancel     context.CancelFunc // ends its goroutine; nil while it is away
	since      time.Time          // when it came
	heard      atomic.Int64       // when something came from it last, Unix ms

	want chan reason // capacity 1, see ask

	// What it has seen; see ledger.go.
	mu    sync.Mutex
	known map[crdt.RegionID]knowledge
	even  [bucketCount]*step       // when it was last in step with us; what known says of a region is newer
	open  map[*step]struct{}       // exchanges under way that may become such moments
	pulls map[crdt.RegionID]uint64 // our version of a region when it last asked this peer, since it was in step
}

func newPeer(id crdt.NodeID) *peer {
	return &peer{id: id, want: make(chan reason, 1), known: map[crdt.RegionID]knowledge{}, pulls: map[crdt.RegionID]uint64{}}
}

// reason says why a pull is due. A larger one is more urgent.
type reason uint8

const (
	becauseTime reason = iota
	becauseChanged
	becauseBehind
	becauseGap
	becauseConnected
)

// ask requests a pull. The channel holds one request; a more urgent one replaces it.
func (p *peer) ask(why reason) {
	for {
		select {
		case p.want <- why:
			return
		default:
		}
		select {
		case old := <-p.want:
			why = max(why, old)
		default:
		}
	}
}

func (m *mesh) onPeer(id crdt.NodeID, name, tier string, up bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[id]
	if p == nil && !up {
		return
	}
	if p == nil {
		p = newPeer(id)
		m.peers[id] = p
	}
	if up == (p.cancel != nil) || up && m.f.ctx.Err() != nil {
		return
	}
	p.hear(m.f.cfg.Now())
	if !up {
		p.cancel()
		p.cancel = nil
		m.up.Add(-1)
		return
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(m.f.ctx)
	p.name, p.tier, p.since = name, tier, m.f.cfg.Now()
	m.up.Add(1)
	p.ask(becauseConnected)
	m.f.goDo(func() { m.follow(ctx, p, name) })
}

func (m *mesh) connected() []*peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*peer, 0, len(m.peers))
	for _, p := range m.peers {
		if p.cancel != nil {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *peer) int { return strings.Compare(string(a.id), string(b.id)) })
	return out
}

func (m *mesh) peer(id crdt.NodeID) *peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peers[id]
}

// changed notes that there is news, written here or merged, that peers may have missed.
func (m *mesh) changed() {
	select {
	case m.news <- struct{}{}:
	default:
	}
}

// changedDelay is how long after a change the peers are asked whether they are in step. Pushes bring the
// change; this confirms it, brings what they lost, and tells both sides the lag.
const changedDelay = time.Second

// herald asks all peers, at most once every changedDelay, while there is news.
func (m *mesh) herald() {
	for {
		select {
		case <-m.f.ctx.Done():
			return
		case <-m.news:
		}
		if !sleep(m.f.ctx, changedDelay) {
			return
		}
		for _, p := range m.connected() {
			p.ask(becauseChanged)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// How long a pull waits for its reason to go away by itself.
const (
	gapDelay    = 20 * time.Millisecond  // a push that comes late closes the gap
	behindDelay = 250 * time.Millisecond // what a peer had more is most likely on its way as a push
	retryMin    = 200 * time.Millisecond
	retryMax    = 30 * time.Second
)

// follow pulls from a peer whenever it is due, until ctx ends. What was asked for then and not done is left to the
// next span.
func (m *mesh) follow(ctx context.Context, p *peer, name string) {
	rnd := m.f.random()
	quiet, retry := m.f.cfg.HelloEvery, time.Duration(0)
	idle := time.NewTimer(jitter(rnd, quiet))
	defer idle.Stop()
	for {
		why := becauseTime
		select {
		case <-ctx.Done():
			return
		case why = <-p.want:
		case <-idle.C:
		}
		if !m.hold(ctx, p, why) {
			p.ask(why)
			return
		}
		news, err := m.pullFrom(ctx, p, why)
		switch {
		case ctx.Err() != nil:
			p.ask(why)
			return
		case err != nil:
			m.failures.Add(1)
			retry = min(max(2*retry, retryMin), retryMax)
			m.f.cfg.Logger.Debug("pull failed", "peer", name, "id", p.id, "err", err, "again", retry)
			idle.Reset(jitter(rnd, retry))
			continue
		case news || why != becauseTime:
			quiet = m.f.cfg.HelloEvery
		default:
			quiet = min(2*quiet, m.f.cfg.HelloMax)
		}
		retry = 0
		idle.Reset(jitter(rnd, quiet))
	}
}

// jitter spreads d over ¾ d … 1¼ d.
func jitter(rnd *rand.Rand, d time.Duration) time.Duration {
	return d*3/4 + time.Duration(rnd.Int64N(int64(d)/2+1))
}

// hold waits as long as the reason allows; a more urgent one cuts it short.
func (m *mesh) hold(ctx context.Context, p *peer, why reason) bool {
	t := time.NewTimer(why.delay())
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		case more := <-p.want:
			if more > why {
				why = more
				t.Reset(why.delay())
			}
		}
	}
}

func (why reason) delay() time.Duration {
	switch why {
	case becauseGap:
		return gapDelay
	case becauseBehind:
		return behindDelay
	}
	return 0
}

// onGossip merges a pushed frame. A gap is for a pull from the neighbour that handed the frame over: it has
// what came before.
func (m *mesh) onGossip(from crdt.NodeID, frame []byte) {
	gap, err := m.f.onPush(frame)
	if err != nil {
		m.f.cfg.Logger.Warn("bad push", "peer", from, "err", err)
		return
	}
	if p := m.peer(from); gap && p != nil {
		p.ask(becauseGap)
	}
}

func (m *mesh) onStream(id crdt.NodeID, s io.ReadWriteCloser) {
	if m.f.closed.Load() {
		_ = s.Close()
		return
	}
	m.f.goDo(func() {
		err := m.serve(m.f.ctx, id, s)
		if err != nil && !errors.Is(err, io.EOF) && m.f.ctx.Err() == nil {
			m.f.cfg.Logger.Debug("pull by a peer ended early", "peer", id, "err", err)
		}
	})
}
