package fabric

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/edgemem/edgemem/crdt"
)

// Message is what was published on a channel. Its payload must not be changed.
type Message struct {
	Channel string
	Shard   bool // of the second set of channels
	Payload []byte
}

// Listener hears the messages of what it wants, and of a little more: what a node listens to is told in little room.
type Listener struct {
	m     *messages
	heard func(Message) int
}

// messages carries what is published from node to node: at most once, never stored. Who publishes sends each neighbour one
// copy, with the nodes that it is to pass it on to; so nodes without listeners get none, unless they are on the way.
type messages struct {
	f    *Fabric
	self tag
	salt [saltLen]byte
	next atomic.Uint64 // number of the last message

	listeners atomic.Pointer[[]*Listener]
	others    atomic.Int32  // nodes that listen to something
	due       chan struct{} // capacity 1: this node has to say something
	came      signal        // a neighbour came

	mu      sync.RWMutex // before the outlets'
	routes  routes
	outlets map[tag]*outlet
	inlets  map[tag]*conn // by which neighbours send
	wants   map[Topic]int
	shrunk  time.Time // since when somebody left a topic that others still think is wanted

	seen  letterIDs
	count messageCounts
}

type messageCounts struct {
	published, sent, received, forwarded         atomic.Uint64
	full, broken, tooMany, astray, twice, lagged atomic.Uint64
}

// MessageStats counts messages since Open.
type MessageStats struct {
	Listening     int    `json:"listening"`      // other nodes that listen to something, as far as is known
	Published     uint64 `json:"published"`      // here
	Sent          uint64 `json:"sent"`           // copies of those, to neighbours
	Received      uint64 `json:"received"`       // from neighbours
	Forwarded     uint64 `json:"forwarded"`      // copies of those, to other neighbours
	DroppedQueue  uint64 `json:"dropped_queue"`  // copies: too many waited for the neighbour
	DroppedStream uint64 `json:"dropped_stream"` // copies: they waited when the neighbour was lost
	DroppedRate   uint64 `json:"dropped_rate"`   // received: more than one neighbour may send
	DroppedRoute  uint64 `json:"dropped_route"`  // received: no way led on; counted for each node
	DroppedHere   uint64 `json:"dropped_here"`   // a subscription of this process was full
	Duplicates    uint64 `json:"duplicates"`     // received again; delivered once
	RefusedWords  uint64 `json:"refused_words"`  // more nodes listen than can be remembered, or one changes its mind too often
}

// Dropped counts what did not arrive because of a bound, or of a link that broke.
func (s *MessageStats) Dropped() uint64 {
	return s.DroppedQueue + s.DroppedStream + s.DroppedRate + s.DroppedRoute + s.DroppedHere
}

// MessageStats gives the counters.
func (f *Fabric) MessageStats() MessageStats {
	m, c := f.messages, &f.messages.count
	m.mu.RLock()
	defer m.mu.RUnlock()
	return MessageStats{
		Listening: m.routes.audience(), Published: c.published.Load(), Sent: c.sent.Load(), Received: c.received.Load(),
		Forwarded: c.forwarded.Load(), DroppedQueue: c.full.Load(), DroppedStream: c.broken.Load(), DroppedRate: c.tooMany.Load(),
		DroppedRoute: c.astray.Load(), DroppedHere: c.lagged.Load(), Duplicates: c.twice.Load(), RefusedWords: m.routes.refused,
	}
}

const (
	// A change is told at once, further ones as they come, until announceBurst of them were told; then as often as the
	// mesh can bear: each goes over every link, and all who listen may be changing their minds.
	announceEvery = 100 * time.Millisecond // for each node that listens
	announceBurst = 10
	announceLeast = 10 * time.Millisecond // between any two
	shrinkAfter   = 10 * time.Second      // who leaves may be back soon

	// What is taken of one neighbour. Beyond it messages are lost, and counted.
	messageRate  = 20_000   // a second
	messageBytes = 32 << 20 // a second
)

func newMessages(f *Fabric) *messages {
	m := &messages{
		f: f, self: tagOf(f.cfg.Node), due: make(chan struct{}, 1), routes: newRoutes(tagOf(f.cfg.Node)),
		outlets: map[tag]*outlet{}, inlets: map[tag]*conn{}, wants: map[Topic]int{}, seen: letterIDs{seed: maphash.MakeSeed()},
	}
	_, _ = rand.Read(m.salt[:]) // it never fails
	m.listeners.Store(&[]*Listener{})
	return m
}

// Listen has heard called for every message that is published, here or elsewhere, on a channel that the listener wants. It
// gives the number of those that it told. It is called from many goroutines and is to return at once; it may be called
// for channels that nobody wants. Messages that the listener itself publishes are not among them.
func (f *Fabric) Listen(heard func(m Message) int) *Listener {
	m := f.messages
	l := &Listener{m: m, heard: heard}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := append(slices.Clone(*m.listeners.Load()), l)
	m.listeners.Store(&all)
	return l
}

// Close ends the calls. What the listener wants is to be given up first.
func (l *Listener) Close() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(*l.m.listeners.Load()), func(o *Listener) bool { return o == l })
	l.m.listeners.Store(&all)
}

// Want has the other nodes send what is published on a topic; Unwant, once for each Want, ends that. Others are told at
// once, unless much changes; that a topic is not wanted any more, after ten seconds.
func (l *Listener) Want(t Topic) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wants[t]++; m.wants[t] == 1 {
		m.hurry()
	}
}

// Unwant gives up what Want asked for.
func (l *Listener) Unwant(t Topic) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wants[t]--; m.wants[t] <= 0 {
		delete(m.wants, t)
		if m.shrunk.IsZero() {
			m.shrunk = time.Now()
		}
	}
}

// Publish sends a message to the other listeners of this node, and to the nodes that listen. here counts whom it reached on this
// node, nodes the others to which it is on its way: they get it once or never. Errors: ErrMessageTooLarge, if some of
// them are to have it and it is longer than MaxMessage; ErrClosed.
func (l *Listener) Publish(msg Message) (here, nodes int, err error) {
	return l.m.publish(l, msg)
}

// Publish sends a message to who listens on this node, and to the nodes that listen; see Listener.Publish.
func (f *Fabric) Publish(channel string, payload []byte) (here, nodes int, err error) {
	return f.messages.publish(nil, Message{Channel: channel, Payload: payload})
}

func (m *messages) publish(by *Listener, msg Message) (here, nodes int, err error) {
	if m.f.closed.Load() {
		return 0, 0, ErrClosed
	}
	m.count.published.Add(1)
	if list := *m.listeners.Load(); len(list) > 1 || len(list) == 1 && list[0] != by {
		msg.Payload = slices.Clone(msg.Payload) // the caller may use it again
		here = m.tellHere(by, msg)
	}
	if m.others.Load() == 0 {
		return here, 0, nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	to := m.routes.listeners(channelKey(msg.Shard, msg.Channel))
	if len(to) == 0 {
		return here, 0, nil
	}
	if size := len(msg.Channel) + len(msg.Payload); size > MaxMessage {
		return here, 0, fmt.Errorf("%w: %d bytes with its channel, other nodes take %d; %d of them listen and did not get it",
			ErrMessageTooLarge, size, MaxMessage, len(to))
	}
	x := letter{author: m.self, salt: m.salt, count: m.next.Add(1), shard: msg.Shard, channel: msg.Channel, payload: msg.Payload}
	x.seal()
	return here, m.send(&x, to, m.self, &m.count.sent), nil
}

// tellHere tells the listeners of this node.
func (m *messages) tellHere(by *Listener, msg Message) (n int) {
	for _, l := range *m.listeners.Load() {
		if l != by {
			n += l.heard(msg)
		}
	}
	return n
}

// send queues copies for the neighbours that lead to some nodes, and tells how many nodes those are. The caller holds mu.
func (m *messages) send(x *letter, to []tag, from tag, counter *atomic.Uint64) (nodes int) {
	for _, leg := range m.routes.legs(to, from) {
		o := m.outlets[leg.via]
		for some := range slices.Chunk(leg.to, targetsMax) {
			part := *x
			part.to = some
			if o == nil || !o.put(part) {
				m.count.full.Add(1)
				continue
			}
			counter.Add(1)
			nodes += len(some)
		}
	}
	return nodes
}

// take delivers a message that came from a neighbour, and passes it on. The letter's bytes are the caller's.
func (m *messages) take(from tag, x *letter, now time.Time) {
	m.count.received.Add(1)
	if x.author == m.self && x.salt == m.salt {
		m.count.astray.Add(1)
		return
	}
	x.to = slices.DeleteFunc(x.to, func(t tag) bool { return !m.first(x, t, now) })
	i := slices.Index(x.to, m.self)
	if i >= 0 {
		x.to = slices.Delete(x.to, i, i+1)
	}
	x.hops++
	if i >= 0 && !x.strange {
		m.tellHere(nil, Message{Channel: x.channel, Shard: x.shard, Payload: slices.Clone(x.payload)})
	}
	if len(x.to) == 0 {
		return
	}
	if x.hops > hopsMax {
		m.count.astray.Add(uint64(len(x.to)))
		return
	}
	x.body = slices.Clone(x.body) // the queues share it
	m.mu.RLock()
	defer m.mu.RUnlock()
	reached := m.send(x, x.to, from, &m.count.forwarded)
	m.count.astray.Add(uint64(len(x.to) - reached))
}

// first tells whether a message has not been here before on its way to a node.
func (m *messages) first(x *letter, to tag, now time.Time) bool {
	if m.seen.first(letterID{x.author, x.salt, x.count, to}, now) {
		return true
	}
	m.count.twice.Add(1)
	return false
}

// letterID names a message on its way to one node.
type letterID struct {
	author tag
	salt   [saltLen]byte
	count  uint64
	to     tag
}

// letterIDs remembers those that were here lately, by hashes that nobody can foresee.
type letterIDs struct {
	seed maphash.Seed

	mu         sync.Mutex // a leaf
	young, old map[uint64]struct{}
	turned     time.Time
}

const (
	letterSeenFor = 30 * time.Second // at least, unless letterSeenMax comes first
	letterSeenMax = 1 << 15          // of each of two generations
)

func (s *letterIDs) first(id letterID, now time.Time) bool {
	h := maphash.Comparable(s.seed, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= letterSeenMax || now.Sub(s.turned) >= letterSeenFor {
		s.old, s.young, s.turned = s.young, map[uint64]struct{}{}, now
	}
	_, young := s.young[h]
	_, old := s.old[h]
	s.young[h] = struct{}{}
	return !young && !old
}

// hurry has the announcer look. It waits for nothing.
func (m *messages) hurry() {
	select {
	case m.due <- struct{}{}:
	default:
	}
}

// announce says what this node listens to whenever that has changed.
func (m *messages) announce() {
	pace := rate.NewLimiter(rate.Every(announceEvery), announceBurst)
	for {
		select {
		case <-m.f.ctx.Done():
			return
		case <-m.due:
		}
		if !m.sayOwn(time.Now()) {
			continue
		}
		pace.SetLimit(rate.Every(announceEvery * time.Duration(1+m.others.Load())))
		if pace.Wait(m.f.ctx) != nil || !sleep(m.f.ctx, announceLeast) {
			return
		}
	}
}

// sayOwn says what this node listens to, if that is more than others know, or due for another reason. It tells whether it did.
func (m *messages) sayOwn(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	want := interestIn(m.wants)
	raw := want.encode()
	if !m.routes.overdue(now) && (slices.Equal(raw, m.routes.own.raw) || m.routes.own.seq == 0 && want.empty()) {
		return false
	}
	m.routes.say(want, now)
	m.shrunk = time.Time{}
	return true
}

// tick is called once a second.
func (m *messages) tick(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes.tidy(now)
	m.recount()
	if m.routes.overdue(now) || !m.shrunk.IsZero() && now.Sub(m.shrunk) >= shrinkAfter {
		m.shrunk = time.Time{}
		m.hurry()
	}
}

// recount is called with mu held, after the routes changed.
func (m *messages) recount() {
	m.others.Store(int32(m.routes.audience()))
	if m.routes.own.least >= max(m.routes.own.seq, 1) {
		m.hurry()
	}
}

// up takes a neighbour into use until ctx ends. It is called under the mesh's lock.
func (m *messages) up(ctx context.Context, p *peer) {
	o := newOutlet(ctx, m, p)
	m.mu.Lock()
	m.outlets[o.to] = o
	m.routes.up(o.to, o)
	m.mu.Unlock()
	m.came.raise()
	m.f.goDo(o.run)
}

// down takes a neighbour out of use.
func (m *messages) down(id crdt.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := tagOf(id)
	delete(m.outlets, t)
	m.routes.down(t, time.Now())
	m.recount()
}

// tell tells a neighbour everything.
func (m *messages) tell(to tag) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes.tell(to)
}

// wordsOf gives what is to be said of nodes now.
func (m *messages) wordsOf(list []tag) (words []word) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, of := range list {
		if w, ok := m.routes.word(of); ok {
			words = append(words, w)
		}
	}
	return words
}

// serve reads a neighbour's messages until its stream ends.
func (m *messages) serve(id crdt.NodeID, c *conn) error {
	if kind, err := c.next(); err != nil || kind != frameOpen || c.size > openMax {
		return errors.Join(err, fmt.Errorf("%w: an opening of %d bytes", errProtocol, c.size))
	}
	if err := c.skip(); err != nil {
		return err
	}
	if err := m.awaitNeighbour(c.ctx, tagOf(id)); err != nil {
		return err
	}
	if err := c.send(frameWelcome, binary.AppendUvarint(nil, 0)); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	x := inlet{m: m, from: tagOf(id), c: c, number: rate.NewLimiter(messageRate, messageRate), bytes: rate.NewLimiter(messageBytes, messageBytes)}
	defer m.replace(x.from, c)()
	return x.run()
}

// awaitNeighbour returns when the neighbour is in use: its stream may come first.
func (m *messages) awaitNeighbour(ctx context.Context, id tag) error {
	ctx, cancel := context.WithTimeout(ctx, stallTimeout)
	defer cancel()
	for {
		came := m.came.next()
		m.mu.RLock()
		o := m.outlets[id]
		m.mu.RUnlock()
		if o != nil {
			return nil
		}
		select {
		case <-came:
		case <-ctx.Done():
			return fmt.Errorf("fabric: messages of a peer that is not connected: %w", ctx.Err())
		}
	}
}

// replace makes a stream the one of its neighbour, in place of an earlier one, until what it gives is called.
func (m *messages) replace(id tag, c *conn) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.inlets[id]; old != nil {
		old.close(errReplaced)
	}
	m.inlets[id] = c
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.inlets[id] == c {
			delete(m.inlets, id)
		}
	}
}

var errReplaced = errors.New("fabric: another stream of messages took its place")

// inlet is a stream by which a neighbour sends.
type inlet struct {
	m             *messages
	from          tag
	c             *conn
	number, bytes *rate.Limiter
}

func (x *inlet) run() error {
	for {
		if err := x.c.idle(); err != nil {
			return err
		}
		kind, err := x.c.next()
		if err != nil {
			return err
		}
		if x.c.size > frameLimit(kind) {
			return fmt.Errorf("%w: a frame of kind %d and %d bytes", errProtocol, kind, x.c.size)
		}
		if err := x.frame(kind); err != nil {
			return err
		}
	}
}

// frame takes one frame. Messages beyond the rate are passed over; words wait, since they cannot be missed.
func (x *inlet) frame(kind byte) error {
	now := time.Now()
	if kind == frameMessage && !(x.number.AllowN(now, 1) && x.bytes.AllowN(now, x.c.size)) {
		x.m.count.tooMany.Add(1)
		return x.c.skip()
	}
	if kind != frameMessage {
		if err := x.number.Wait(x.c.ctx); err != nil {
			return err
		}
	}
	b, err := x.c.payload()
	if err != nil {
		return err
	}
	switch kind {
	case frameWord:
		return x.word(b)
	case frameLost:
		return x.lost(b)
	case frameMessage:
		l, err := decodeLetter(b)
		if err == nil {
			x.m.take(x.from, &l, now)
		}
		return err
	}
	return nil
}

func (x *inlet) word(b []byte) error {
	w, err := decodeWord(b)
	if err != nil {
		return err
	}
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	x.m.routes.hear(x.from, w, time.Now())
	x.m.recount()
	return nil
}

func (x *inlet) lost(b []byte) error {
	list, err := decodeLosses(b)
	if err != nil {
		return err
	}
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	for _, l := range list {
		x.m.routes.lost(x.from, l.of, l.seq, time.Now())
	}
	x.m.recount()
	return nil
}
