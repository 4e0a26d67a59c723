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

	mu      sync.Mutex
	peers   map[crdt.NodeID]*peer
	streams map[crdt.NodeID]int // pulls by each peer that are open here

	news    chan struct{} // capacity 1: one signal stands for any number
	turns   turns         // of our pulls
	gate    gate          // for pulls from us
	tasks   tasks         // regions that a pull is bringing
	codecs  codecs
	staging atomic.Int32 // sessions that make a causal region's chunks at once,
	keeping atomic.Int32 // and that keep them back; stagingMax each
	scrubs  scrubber

	pulls, rounds, chunks, pulledBytes, savedBytes, servedBytes, failures, putOff, missed atomic.Uint64
	pulled                                                                                atomic.Int64 // when a pull ended well last, Unix ns by the machine's clock
	lastPull                                                                              atomic.Pointer[PullReport]
}

func newMesh(f *Fabric) *mesh {
	m := &mesh{f: f, can: ourAbilities &^ f.cfg.lack, peers: map[crdt.NodeID]*peer{}, streams: map[crdt.NodeID]int{}, news: make(chan struct{}, 1)}
	m.prints, m.scrubs.m = newPrints(m), m
	return m
}

// peer is a member that we are, or were, connected to.
type peer struct {
	id         crdt.NodeID
	name, tier string
	cancel     context.CancelFunc // ends its goroutine; nil while it is away
	since      time.Time          // when it came
	heard      atomic.Int64       // when something came from it last, Unix ms
	rtt        atomic.Int64       // of a check, smoothed, ns; 0 before the first
	rate       atomic.Int64       // of pulls from it, smoothed, bytes a second; 0 before the first that is large enough
	blamed     atomic.Int64       // when the log heard of its bad messages last, Unix ms

	limits limits
	want   chan reason // capacity 1, see ask

	upAt time.Time // when it came, by the machine's clock

	// What it has seen; see ledger.go.
	mu    sync.Mutex
	known map[crdt.RegionID]knowledge
	even  [bucketCount]*step       // when it was last in step with us; what known says of a region is newer
	open  map[*step]struct{}       // exchanges under way that may become such moments
	pulls map[crdt.RegionID]uint64 // our version of a region when it last asked this peer, since it was in step

	said, heardOf bases // what our last hellos said, and its

	owing atomic.Int32            // sessions in which it gives back, see back.go
	can   atomic.Uint64           // abilities, as far as it was heard
	moves atomic.Bool             // it knows of copies, as it said: else it may hold every region that it meets, and not say so
	given map[crdt.RegionID]given // how regions that it leads come to it; belongs to mu
}

func newPeer(id crdt.NodeID, limitRate int) *peer {
	return &peer{id: id, limits: newLimits(limitRate), want: make(chan reason, 1), known: map[crdt.RegionID]knowledge{}, pulls: map[crdt.RegionID]uint64{}}
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
		p = newPeer(id, m.f.cfg.LimitRate)
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
		m.f.messages.down(id)
		m.f.goDo(func() { m.f.remember(p) })
		return
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(m.f.ctx)
	p.name, p.tier, p.since = name, tier, m.f.cfg.Now()
	p.upAt = time.Now()
	m.up.Add(1)
	p.ask(becauseConnected)
	rush := m.rush()
	m.f.goDo(func() { m.follow(ctx, p, name, rush) })
	if m.can&canMessages != 0 {
		m.f.messages.up(ctx, p)
	}
}

// How pulls from many peers that come at once are spread out.
const (
	rushWindow = time.Second
	rushFree   = 4                    // so many in a window are pulled from at once
	rushEach   = 5 * time.Millisecond // each further one
)

// rush says over how long the first pull from a peer that came now is to be spread. The caller holds mu.
func (m *mesh) rush() time.Duration {
	n := 0
	for _, p := range m.peers {
		if p.cancel != nil && time.Since(p.upAt) < rushWindow {
			n++
		}
	}
	return rushEach * time.Duration(max(n-rushFree, 0))
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

// link is what the goroutine that pulls from a peer knows about doing so. It begins anew when the peer comes back.
type link struct {
	since time.Time
	asked bool          // since then
	busy  time.Time     // not to be asked before; zero once it was asked in peace
	rtt   time.Duration // of a check, smoothed; 0 before the first
}

func newLink() *link { return &link{since: time.Now()} }

// took counts the time of a round trip.
func (l *link) took(d time.Duration) {
	if l.rtt == 0 {
		l.rtt = d
	}
	l.rtt += (d - l.rtt) / 4
}

// follow pulls from a peer whenever it is due, until ctx ends. What was asked for then and not done is left to the
// next span. The first pull is spread over rush.
func (m *mesh) follow(ctx context.Context, p *peer, name string, rush time.Duration) {
	rnd := m.f.random()
	l := newLink()
	if rush > 0 {
		l.busy = l.since.Add(time.Duration(rnd.Int64N(int64(rush))))
	}
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
		if !l.hold(ctx, p, &why) {
			p.ask(why)
			return
		}
		if p.owing.Load() > 0 && why != becauseConnected { // it is giving back what it has, and is asked again after that
			idle.Reset(jitter(rnd, quiet))
			continue
		}
		self := m.f.Origin()
		news, err := m.pullFrom(ctx, p, l, why)
		_ = m.f.undone(self, err)
		var later *busyError
		switch {
		case ctx.Err() != nil:
			p.ask(why)
			return
		case errors.As(err, &later): // meanwhile the turn is another peer's
			m.putOff.Add(1)
			l.busy = time.Now().Add(jitter(rnd, later.retry))
			p.ask(becauseBehind)
			continue
		case err != nil:
			m.failures.Add(1)
			retry = min(max(2*retry, retryMin), retryMax)
			if errors.Is(err, crdt.ErrVersion) || errors.Is(err, crdt.ErrMalformed) || errors.Is(err, errProtocol) {
				m.complain(p.id, "a pull failed: the peer's messages are bad, or of another version", err)
			}
			m.f.cfg.Logger.Debug("pull failed", "peer", name, "id", p.id, "err", err, "again", retry)
			idle.Reset(jitter(rnd, retry))
			continue
		case news || why != becauseTime:
			quiet = m.f.cfg.HelloEvery
		default:
			quiet = min(2*quiet, m.f.cfg.HelloMax)
		}
		l.busy, retry = time.Time{}, 0
		idle.Reset(jitter(rnd, quiet))
	}
}

// jitter spreads d over ¾ d … 1¼ d.
func jitter(rnd *rand.Rand, d time.Duration) time.Duration {
	return d*3/4 + time.Duration(rnd.Int64N(int64(d)/2+1))
}

// hold waits as long as the reason allows, and until the peer wants to be asked; a more urgent reason cuts the former short.
func (l *link) hold(ctx context.Context, p *peer, why *reason) bool {
	wait := func() time.Duration { return max(why.delay(), time.Until(l.busy)) }
	t := time.NewTimer(wait())
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		case more := <-p.want:
			if more > *why {
				*why = more
				t.Reset(wait())
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

// onMissed turns pushes that a peer could not hand over into a pull from it.
func (m *mesh) onMissed(from crdt.NodeID) {
	m.missed.Add(1)
	if p := m.peer(from); p != nil {
		p.ask(becauseBehind)
	}
}

// onGossip merges a pushed frame. A gap is for a pull from the neighbour that handed the frame over: it has
// what came before.
func (m *mesh) onGossip(from crdt.NodeID, frame []byte) {
	gap, err := m.f.onPush(frame)
	if err != nil {
		m.complain(from, "bad push", err)
		return
	}
	if p := m.peer(from); gap && p != nil {
		p.ask(becauseGap)
	}
}

// complainEvery is how often the log hears that a peer's messages are bad: one of another version would fill it.
const complainEvery = time.Minute

func (m *mesh) complain(id crdt.NodeID, what string, err error) {
	p, now := m.peer(id), m.f.now()
	if p == nil {
		m.f.cfg.Logger.Debug(what, "peer", id, "err", err)
		return
	}
	if last := p.blamed.Load(); now-last >= complainEvery.Milliseconds() && p.blamed.CompareAndSwap(last, now) {
		m.f.cfg.Logger.Warn(what, "peer", p.name, "id", id, "err", err)
	}
}

// streamsMax bounds the streams of one peer that are open here. It needs one for pulls, one for messages and one for requests; more are
// there while it begins again.
const streamsMax = 6

func (m *mesh) onStream(id crdt.NodeID, s io.ReadWriteCloser) {
	if m.f.closed.Load() || !m.openStream(id, 1) {
		_ = s.Close()
		return
	}
	m.f.goDo(func() {
		defer m.openStream(id, -1)
		self := m.f.Origin()
		err := m.f.undone(self, m.serve(m.f.ctx, id, s))
		if err != nil && !errors.Is(err, io.EOF) && m.f.ctx.Err() == nil {
			m.f.cfg.Logger.Debug("pull by a peer ended early", "peer", id, "err", err)
		}
	})
}

// openStream counts the streams of a peer, and refuses too many.
func (m *mesh) openStream(id crdt.NodeID, change int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.streams[id] + change
	if n > streamsMax {
		return false
	}
	if m.streams[id] = n; n == 0 {
		delete(m.streams, id)
	}
	return true
}
