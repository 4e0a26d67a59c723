package fabric

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// PullReport says what one pull took.
type PullReport struct {
	Peer     crdt.NodeID   `json:"peer"`
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took_ns"`
	Rounds   int           `json:"round_trips"`
	Chunks   int           `json:"chunks"`
	BytesIn  uint64        `json:"bytes_in"`
	BytesOut uint64        `json:"bytes_out"`
	News     uint64        `json:"news"` // dots that were new here
}

// puller is the asking side of one session.
type puller struct {
	m          *mesh
	p          *peer
	l          *link
	why        reason
	c          *conn
	self       crdt.Origin    // ours when the session began
	after      map[*peer]bool // put off because this pull brings what they were asked for; of mesh.tasks
	open       map[crdt.RegionID]*crdt.Receiver
	named      map[crdt.RegionID]*Region
	lives      map[crdt.RegionID]uint32 // of their cores when they were opened
	coming     []*Region                // that this node takes, and the peer has
	told       crdt.RegionID            // the region that the peer named last,
	newName    string                   // and its name, if it is new here
	together   int                      // messages to come that are to be merged together,
	staged     [][]byte                 // and those that came,
	stagedOf   crdt.RegionID            // of a region,
	stagedSize int                      // bytes
	raw        []byte                   // the last chunk that came compressed
	replies    [][]byte                 // what the peer waits for, a message a region,
	back       [][]byte                 // and chunks of what it lacks
	lead       []byte                   // regions that we lead, see back.go
	leading    bool                     // it was told
	report     PullReport
}

// busyError says that the peer answers too many pulls, and when to ask again.
type busyError struct{ retry time.Duration }

func (e *busyError) Error() string {
	return fmt.Sprintf("fabric: the peer is busy, ask again in %v", e.retry)
}

// decodeBusy reads a BUSY frame. What it asks for is bounded here too.
func decodeBusy(b []byte) error {
	ms, n := binary.Uvarint(b)
	if n <= 0 {
		return fmt.Errorf("%w: a time of %d bytes", errProtocol, len(b))
	}
	return &busyError{min(max(time.Duration(min(ms, math.MaxInt32))*time.Millisecond, busyMin), busyMax)}
}

// pullFrom runs one session. news tells whether it brought something.
func (m *mesh) pullFrom(ctx context.Context, p *peer, l *link, why reason) (news bool, err error) {
	start := m.f.cfg.Now()
	dial, cancel := context.WithTimeout(ctx, stallTimeout)
	s, err := m.f.cfg.Transport.OpenStream(dial, p.id)
	cancel()
	if err != nil {
		return false, err
	}
	c := newConn(ctx, s, p.limits)
	stop := c.watchContext(ctx)
	// After the stream is open, so that a peer that is gone holds up nobody.
	give, err := m.turns.take(ctx, &turn{why: why, asked: l.asked, rtt: l.rtt})
	if err != nil {
		stop()
		c.close(err)
		return false, err
	}
	defer give()
	c.pace.start(brisk(m.f.cfg.LimitRate))
	x := &puller{m: m, p: p, l: l, why: why, c: c, self: m.f.Origin(), open: map[crdt.RegionID]*crdt.Receiver{}, named: map[crdt.RegionID]*Region{}, lives: map[crdt.RegionID]uint32{}}
	err = x.run()
	if err != nil && x.leading {
		p.can.Store(0) // it may be of an earlier version since
	}
	l.asked = true
	stop()
	c.close(err)
	m.tasks.end(x)
	p.pulledFrom(x.open)
	x.letGo()
	m.pulledBytes.Add(c.in)
	m.rounds.Add(uint64(x.report.Rounds))
	m.pulls.Add(1)
	if err == nil {
		m.pulled.Store(time.Now().UnixNano())
	}
	if x.report.News > 0 {
		x.report.Peer, x.report.At, x.report.Took = p.id, start, m.f.cfg.Now().Sub(start)
		x.report.BytesIn, x.report.BytesOut = c.in, c.out
		p.measured(c.in, x.report.Took)
		m.lastPull.Store(&x.report)
	}
	return x.report.News > 0, err
}

// checkFirst reports whether to ask first if anything differs: where that is likely not so, or a list of regions is long.
func (x *puller) checkFirst() bool {
	switch why := x.why; {
	case why == becauseTime || why == becauseChanged || !x.l.busy.IsZero():
		return true
	case why == becauseConnected && x.m.pulled.Load() > x.l.since.UnixNano():
		return true // another peer has just given us what it has
	}
	return x.m.prints.size() > inlineHellos
}

func (x *puller) run() error {
	now, step := x.m.prints.snapshot(x.p)
	defer x.p.drop(step)
	scope := everyBucket
	x.coming = x.m.f.moves.from(x.p.id)
	if len(x.coming) > 0 || x.checkFirst() {
		var err error
		if scope, err = x.check(now, step); err != nil || scope == nil {
			return err
		}
	}
	if err := x.ask(scope); err != nil {
		return err
	}
	for {
		kind, b, err := x.c.read()
		if err != nil {
			return err
		}
		switch kind {
		case frameName:
			err = x.name(b)
		case frameChunk:
			err = x.chunk(b)
		case frameZstd:
			err = x.zstd(b)
		case frameWhole:
			err = x.whole(b)
		case frameWant:
			err = x.answer(b)
		case frameTurn:
			err = x.over()
		case frameBusy:
			err = decodeBusy(b)
		case frameEnd:
			return x.end(b)
		default:
			err = fmt.Errorf("%w: frame of kind %d in an answer", errProtocol, kind)
		}
		if err != nil {
			return err
		}
	}
}

// check asks whether both sides have seen the same, and gives the buckets in which they have not, nil for none.
func (x *puller) check(now *snapshot, s *step) (*bucketSet, error) {
	all := now.all
	if len(x.coming) > 0 {
		all = ^all // whatever else is in step, there is something to ask for
	}
	if err := x.c.send(frameCheck, binary.BigEndian.AppendUint64(nil, all)); err != nil {
		return nil, err
	}
	asked := time.Now()
	if err := x.turn(); err != nil {
		return nil, err
	}
	kind, b, err := x.c.read()
	if err != nil {
		return nil, err
	}
	x.l.took(time.Since(asked))
	x.p.rtt.Store(int64(x.l.rtt))
	switch kind {
	case frameSame:
		x.p.learnStep(s, everyBucket)
		return nil, nil
	case frameDiffer:
		can, scope, err := decodeDiffer(b, now)
		if err == nil {
			x.p.able(can)
		}
		if err != nil || can&canScope == 0 {
			return everyBucket, err
		}
		for _, r := range x.coming {
			scope.add(r.bucket())
		}
		x.p.learnStep(s, scope.except())
		return scope, x.c.send(frameScope, scope[:])
	}
	return nil, fmt.Errorf("%w: frame of kind %d answers a check", errProtocol, kind)
}

// turn hands the word to the peer: one round trip.
func (x *puller) turn() error {
	x.report.Rounds++
	return x.c.flush()
}

// ask lists the regions in scope, with what was seen of them, or, if they are many, of those that changed since the peer was
// asked last.
func (x *puller) ask(scope *bucketSet) error {
	list := append(x.m.prints.awaited(scope), x.m.prints.in(scope)...)
	list = append(slices.Clip(x.coming), slices.DeleteFunc(list, func(r *Region) bool { return !r.sharedWith(x.p.id) })...)
	if err := x.c.send(frameAsk, appendStates(nil, statesOf(list))); err != nil {
		return err
	}
	n := 0
	for _, r := range list {
		if n == inlineHellos {
			break
		}
		if len(list) > inlineHellos && r.Held() && !x.p.changedSince(r) {
			continue
		}
		n++
		if err := x.hello(r, false); err != nil {
			return err
		}
	}
	return x.over()
}

// over ends our turn, with what the peer waits for.
func (x *puller) over() error {
	for _, msg := range x.replies {
		if err := x.c.send(frameReply, msg); err != nil {
			return err
		}
	}
	if err := x.giveBack(); err != nil {
		return err
	}
	x.replies = nil
	if err := x.c.send(frameOver, x.m.can.appendOver(nil, x.m.f.cfg.LimitRate)); err != nil {
		return err
	}
	return x.turn()
}

// hello sends what was seen of a region and prepares for the answer, unless another pull brings the region.
func (x *puller) hello(r *Region, full bool) error {
	if r.copy.Load() == copyNone || !x.m.tasks.take(x, r.id) {
		return nil
	}
	r.mu.RLock()
	x.lives[r.id] = r.life.Load()
	msg, rc, v := x.p.sayHello(r.core, full, r.wanted(x.urgent(r))), r.core.NewReceiver(), r.core.Version()
	if x.leads(r) {
		x.lead = append(x.lead, r.id[:]...)
	}
	r.mu.RUnlock()
	x.open[r.id], x.named[r.id] = rc, r
	x.p.mu.Lock()
	x.p.pulls[r.id] = v
	x.p.mu.Unlock()
	return x.c.send(frameHello, msg)
}

// wantedWhenBack is how many entries a node that comes back asks for first: a hello stays short, as it may lack little.
const wantedWhenBack = 64

// urgent is how many entries to ask for first: some where much may be missing, all where nothing is here. The caller holds
// the region's lock.
func (x *puller) urgent(r *Region) int {
	switch {
	case r.core.Seen() == 0:
		return readsKept
	case x.why == becauseConnected:
		return wantedWhenBack
	}
	return 0
}

// name announces chunks of a region, which may be new here.
func (x *puller) name(b []byte) error {
	name := string(b)
	x.told, x.newName = crdt.RegionIDOf(name), ""
	if x.open[x.told] != nil {
		return nil
	}
	r := x.m.f.known(name)
	if r == nil {
		x.newName = name // until it turns out to hold something
		return nil
	}
	if r.copy.Load() == copyNone {
		return nil // its chunks are passed over
	}
	x.meet(r)
	return nil
}

// meet prepares for chunks of a region for which no hello was sent.
func (x *puller) meet(r *Region) {
	x.m.tasks.take(x, r.id) // they come, whoever else brings them
	r.mu.RLock()
	defer r.mu.RUnlock()
	x.open[r.id], x.named[r.id], x.lives[r.id] = r.core.NewEmptyReceiver(), r, r.life.Load()
}

// welcome makes a replica of the region that was named last, when its first chunk is there. Where there are too many
// regions its chunks are passed over, so that the others do not suffer.
func (x *puller) welcome(b []byte) error {
	r, err := x.m.f.welcome(x.newName, func(empty *crdt.Region) error { return empty.NewEmptyReceiver().Merge(b, x.m.f.now()) })
	x.newName = ""
	if errors.Is(err, ErrTooMany) {
		x.m.f.cfg.Logger.Warn("a region of a peer is not taken over", "peer", x.p.id, "err", err)
		return nil
	}
	if r != nil {
		x.meet(r)
	}
	return err
}

func (x *puller) zstd(b []byte) (err error) {
	if x.raw, err = x.m.codecs.unsqueeze(b, x.raw); err != nil {
		return err
	}
	x.m.savedBytes.Add(uint64(max(len(x.raw)-len(b), 0)))
	return x.chunk(x.raw)
}

// whole announces messages that are to be merged together.
func (x *puller) whole(b []byte) error {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > wholeMax {
		return fmt.Errorf("%w: %d messages to be merged together, limit %d", errProtocol, n, wholeMax)
	}
	x.together = int(n)
	return nil
}

// wholeMax bounds the messages that are to be merged together. MaxStaged bounds what is kept back of them.
const wholeMax = 1 << 20

// chunk takes a message of a region's pull: it is merged at once, or kept back with those that belong to it.
func (x *puller) chunk(b []byte) error {
	id, err := crdt.ChunkRegion(b)
	if err != nil {
		return err
	}
	if x.open[id] == nil && id == x.told {
		if x.newName == "" { // passed over
			return nil
		}
		if err := x.welcome(b); err != nil || x.open[id] == nil {
			return err
		}
	}
	if x.open[id] == nil {
		return fmt.Errorf("%w: a chunk of region %v, which was not asked for", errProtocol, id)
	}
	x.report.Chunks++
	x.m.chunks.Add(1)
	if x.together == 0 || !x.named[id].causal.Load() || len(x.staged) == 0 && !x.keep() {
		x.together = 0
		return x.merge(id, b)
	}
	if len(x.staged) > 0 && id != x.stagedOf {
		return fmt.Errorf("%w: chunks of regions %v and %v to be merged together", errProtocol, x.stagedOf, id)
	}
	x.staged, x.stagedOf, x.stagedSize = append(x.staged, slices.Clone(b)), id, x.stagedSize+len(b)
	if x.together--; x.together > 0 && x.stagedSize <= x.m.f.cfg.MaxStaged {
		return nil
	}
	x.together = 0 // what is too much is merged as it comes
	msgs := x.staged
	defer x.letGo()
	return x.merge(id, msgs...)
}

// keep reports whether one more session may keep chunks back, and counts it.
func (x *puller) keep() bool {
	if x.m.keeping.Add(1) > stagingMax {
		x.m.keeping.Add(-1)
		return false
	}
	return true
}

// letGo forgets what was kept back.
func (x *puller) letGo() {
	if len(x.staged) > 0 {
		x.staged, x.stagedSize = nil, 0
		x.m.keeping.Add(-1)
	}
}

// merge merges messages under one lock.
func (x *puller) merge(id crdt.RegionID, msgs ...[]byte) (err error) {
	rc, r := x.open[id], x.named[id]
	r.await()
	if err := x.m.f.holdsMerges(r.name); err != nil {
		return err
	}
	parted := false
	commit, late := r.changed(func(now int64) {
		if parted = r.since(x.lives[id]) != nil; parted {
			return // the copy was given up: what comes is passed over
		}
		if err = x.sameLife(r); err != nil {
			return
		}
		for _, b := range msgs {
			if err = x.mergeOne(r, rc, b, now); err != nil {
				return
			}
		}
	})
	if late { // the peer sends no faster than the disk takes
		_ = commit.Sync(x.m.f.ctx)
	}
	if parted {
		return nil
	}
	if rc.Done() {
		x.m.tasks.done(x, id)
	}
	if err == nil && rc.Done() {
		x.m.f.moves.came(r, x.p.id)
	}
	if err == nil && rc.Done() { // before that a cut may hold what the peer has in a part of the region only
		x.p.learnPulled(id, rc.Cut(), x.m.f.cfg.Now())
	}
	return err
}

// mergeOne merges one message. The caller holds the region's lock.
func (x *puller) mergeOne(r *Region, rc *crdt.Receiver, b []byte, now int64) error {
	before := r.core.Seen()
	rc.Withhold(!x.p.owes(r.id))
	err := rc.Merge(b, now)
	x.report.News += r.core.Seen() - before
	if err == nil {
		x.m.tasks.moved(x, r, len(b), rc.Cut())
	}
	if reply := rc.TakeReply(); reply != nil {
		x.replies = append(x.replies, reply)
	}
	x.makeBack(r, rc)
	return err
}

// answer sends the hellos that the peer wants.
func (x *puller) answer(b []byte) error {
	ids, err := decodeIDs(b)
	if err != nil {
		return err
	}
	for _, id := range ids {
		r := x.m.f.regionByID(id)
		if r == nil {
			return fmt.Errorf("%w: it wants region %v, which was not listed", errProtocol, id)
		}
		if err := x.hello(r, true); err != nil {
			return err
		}
	}
	return x.over()
}

// end notes which regions the peer has exactly as we do now.
func (x *puller) end(b []byte) error {
	list, err := decodeStates(b)
	if err != nil {
		return err
	}
	for _, s := range list {
		if r := x.m.f.regionByID(s.id); r != nil {
			r.mu.RLock()
			if r.core.ContextHash() == s.hash {
				x.m.f.moves.came(r, x.p.id)
				x.p.learnSame(s.id, r.core.Context(), x.m.f.cfg.Now())
			}
			r.mu.RUnlock()
		}
	}
	return nil
}
