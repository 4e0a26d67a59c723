package fabric

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// server is the answering side of one session.
type server struct {
	m      *mesh
	id     crdt.NodeID
	c      *conn
	place  *place
	can    abilities                // of the puller
	scope  *bucketSet               // what the session is about
	theirs map[crdt.RegionID]uint64 // fingerprints that the peer listed
	turns  int

	hellos  []*crdt.Seen // of this turn,
	replies [][]byte     // and its replies
	waiting []*answer    // what waits for the next turn
	differ  []*Region
	began   time.Time
	self    crdt.Origin                // ours when the session began
	led     map[crdt.RegionID]bool     // regions that the peer leads, see back.go
	backs   map[crdt.RegionID][][]byte // chunks that it gives back
	owed    []debt

	squeezer squeezer
}

// answer is what is being sent of one region.
type answer struct {
	r       *Region
	life    uint32 // of the region's core when the pull began
	pull    *crdt.Pull
	spilled bool // there is more than may be made at once
	staged  bool // what was made at once is being sent
}

// serve answers a peer's pull.
func (m *mesh) serve(ctx context.Context, id crdt.NodeID, s io.ReadWriteCloser) (err error) {
	c := newConn(ctx, s, m.limitsOf(id))
	stop := c.watchContext(ctx)
	defer func() { stop(); c.close(err); m.servedBytes.Add(c.out) }()
	if err := c.begun(); err != nil { // a peer that waits for its own turn takes no place
		return err
	}
	kind, err := c.next()
	if err != nil {
		return err
	}
	switch {
	case kind == frameScrub:
		return m.serveScrub(id, c)
	case kind == frameVow && m.can&canMove != 0:
		return m.serveVow(id, c)
	case kind >= frameReport && kind <= frameExplain && m.can&canDecide != 0:
		return m.f.decider.serve(id, kind, c)
	case kind == frameOpen && m.can&canMessages != 0:
		c.limIn, c.limOut = nil, nil // the limit is for pulls
		return m.f.messages.serve(id, c)
	case kind == frameCall && m.can&canAnswer != 0:
		c.limIn, c.limOut = nil, nil
		return m.f.remotes.serve(id, c)
	case kind == frameVote:
		c.limIn, c.limOut = nil, nil
		return m.f.leases.serve(c)
	}
	x := &server{m: m, id: id, c: c, scope: everyBucket, began: m.f.cfg.Now(), self: m.f.Origin(), squeezer: squeezer{codecs: &m.codecs}}
	if same, err := x.greet(); err != nil || same {
		return err
	}
	var retry time.Duration
	if x.place, retry, err = m.gate.enter(ctx); err != nil {
		return err
	}
	if x.place == nil {
		return x.refuse(retry)
	}
	defer x.place.leave()
	defer x.squeezer.end()
	defer x.collect()
	if err := x.listen(); err != nil {
		return err
	}
	var later *busyError
	if err := x.reply(); errors.As(err, &later) {
		return x.busy(later.retry)
	} else if err != nil {
		return err
	}
	m.prints.snapshot(nil) // END tells what is here now
	if err := x.c.send(frameEnd, appendStates(nil, statesOf(x.differ))); err != nil {
		return err
	}
	return x.c.flush()
}

// turnMax bounds what is read, and thrown away, of the turn of a peer that gets no place, bytes.
const turnMax = hellosMax + smallMax

// refuse lets the peer end its turn, and sends it away.
func (x *server) refuse(retry time.Duration) error {
	for size := 0; ; {
		kind, err := x.c.next()
		if err != nil {
			return err
		}
		if size += x.c.size; size > turnMax {
			return fmt.Errorf("%w: a turn of %d bytes, limit %d", errProtocol, size, turnMax)
		}
		if err := x.c.skip(); err != nil {
			return err
		}
		if kind == frameOver {
			return x.busy(retry)
		}
	}
}

// busy says when to come back.
func (x *server) busy(retry time.Duration) error {
	if err := x.c.send(frameBusy, binary.AppendUvarint(nil, uint64(retry.Milliseconds()))); err != nil {
		return err
	}
	return x.c.flush()
}

// greet answers a check, which takes no place and costs the same whatever there is. same reports that it ended the session.
func (x *server) greet() (same bool, err error) {
	kind, err := x.c.next()
	if err != nil || kind != frameCheck {
		return false, err
	}
	b, err := x.c.payload()
	if err != nil {
		return false, err
	}
	if same, err = x.check(b); same || err != nil {
		return same, err
	}
	_, err = x.c.next()
	return false, err
}

func (x *server) check(b []byte) (same bool, err error) {
	if len(b) != 8 {
		return false, fmt.Errorf("%w: a check of %d bytes", errProtocol, len(b))
	}
	p := x.m.peer(x.id)
	now, step := x.m.prints.snapshot(p)
	if same = now.all == binary.BigEndian.Uint64(b); same {
		err = x.c.send(frameSame, nil)
	} else {
		err = x.c.send(frameDiffer, x.m.can.appendDiffer(nil, now))
	}
	if p != nil {
		defer p.drop(step)
	}
	if p != nil && same {
		p.learnStep(step, everyBucket)
	}
	if err != nil {
		return same, err
	}
	return same, x.c.flush()
}

// listen reads the peer's first turn.
func (x *server) listen() error {
	kind, b, err := x.c.read()
	if err == nil && kind == frameScope {
		if len(b) != len(x.scope) {
			return fmt.Errorf("%w: a scope of %d bytes", errProtocol, len(b))
		}
		x.scope = (*bucketSet)(append([]byte(nil), b...))
		kind, b, err = x.c.read()
	}
	if err != nil {
		return err
	}
	if kind != frameAsk {
		return fmt.Errorf("%w: frame of kind %d instead of a list of regions", errProtocol, kind)
	}
	list, err := decodeStates(b)
	if err != nil {
		return err
	}
	x.theirs = make(map[crdt.RegionID]uint64, len(list))
	for _, s := range list {
		x.theirs[s.id] = s.hash
	}
	return x.readTurn()
}

// hellosMax bounds the hellos of one turn, bytes.
const hellosMax = 16 << 20

// readTurn reads up to the end of the puller's turn: at most one hello a region that it listed, and a reply a region that
// waits.
func (x *server) readTurn() error {
	if x.turns++; x.turns > turnsMax {
		return fmt.Errorf("%w: more than %d turns", errProtocol, turnsMax)
	}
	x.hellos, x.replies = nil, nil
	said, size := map[crdt.RegionID]bool{}, 0
	for {
		kind, b, err := x.c.read()
		if err != nil {
			return err
		}
		if size += len(b); size > hellosMax {
			return fmt.Errorf("%w: a turn of %d bytes, limit %d", errProtocol, size, hellosMax)
		}
		switch kind {
		case frameHello:
			err = x.takeHello(b, said)
		case frameReply:
			if len(x.replies) == len(x.waiting) {
				return fmt.Errorf("%w: more replies than regions that wait", errProtocol)
			}
			x.replies = append(x.replies, slices.Clone(b))
		case frameOver:
			return x.takeOver(b)
		default:
			if x.m.can&canBack == 0 || !x.takeAhead(kind, b) {
				err = fmt.Errorf("%w: frame of kind %d in the puller's turn", errProtocol, kind)
			}
		}
		if err != nil {
			return err
		}
	}
}

// takeOver learns what the puller can, and keeps to what it takes.
func (x *server) takeOver(b []byte) (err error) {
	limit := 0
	if x.can, limit, err = decodeOver(b); err == nil {
		x.c.heed(limit)
		if p := x.m.peer(x.id); p != nil {
			p.able(x.can)
		}
	}
	return err
}

func (x *server) takeHello(b []byte, said map[crdt.RegionID]bool) error {
	h, err := crdt.DecodeHello(b)
	if err != nil {
		return err
	}
	if _, listed := x.theirs[h.Region]; !listed || said[h.Region] {
		return fmt.Errorf("%w: a hello for region %v, not listed or said twice", errProtocol, h.Region)
	}
	said[h.Region] = true
	x.hellos = append(x.hellos, h)
	return nil
}

// reply sends what the peer lacks: of the regions it sent a hello for, of those it does not know, and, after more turns, of
// those that differ and came without a hello, and where it had to reply first.
func (x *server) reply() error {
	told := map[crdt.RegionID]bool{}
	if err := x.answerHellos(told); err != nil {
		return err
	}
	var want []byte
	x.m.prints.snapshot(nil)
	for _, r := range x.m.prints.in(x.scope) {
		hash, listed := x.theirs[r.id]
		switch {
		case told[r.id] || hash == r.hash.Load() || !r.has() || !listed && !r.sharedWith(x.id):
		case listed:
			want = append(want, r.id[:]...)
		default:
			if err := x.send(r, &crdt.Seen{Region: r.id}, false); err != nil {
				return err
			}
		}
	}
	x.lookForNews()
	for want != nil || len(x.waiting) > 0 {
		if err := x.handOver(want); err != nil {
			return err
		}
		want = nil
		if err := x.answerHellos(told); err != nil {
			return err
		}
		if err := x.answerReplies(); err != nil {
			return err
		}
	}
	return nil
}

// handOver gives the puller the word, and hears it out.
func (x *server) handOver(want []byte) error {
	kind := byte(frameTurn)
	if want != nil {
		kind = frameWant
	}
	if err := x.c.send(kind, want); err != nil {
		return err
	}
	if err := x.c.flush(); err != nil {
		return err
	}
	return x.readTurn()
}

// answerReplies goes on with the regions that waited. Those without a reply the puller does not want any more.
func (x *server) answerReplies() error {
	waited := x.waiting
	x.waiting = nil
	for _, msg := range x.replies {
		id, err := crdt.ChunkRegion(msg)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(waited, func(a *answer) bool { return a.r.id == id })
		if i < 0 {
			return fmt.Errorf("%w: a reply for region %v, which does not wait", errProtocol, id)
		}
		a := waited[i]
		waited = slices.Delete(waited, i, i+1)
		a.r.mu.Lock()
		if a.r.since(a.life) == nil {
			err = a.pull.Reply(msg)
		}
		a.r.mu.Unlock()
		if err != nil {
			return err
		}
		if err := x.goOn(a); err != nil {
			return err
		}
		if err := x.takeBack(a); err != nil {
			return err
		}
	}
	return x.c.flush()
}

func (x *server) answerHellos(told map[crdt.RegionID]bool) error {
	p := x.m.peer(x.id)
	for _, h := range x.hellos {
		if p != nil && !p.understand(h) || p == nil && h.Since != 0 {
			continue // it is wanted in full
		}
		told[h.Region] = true
		r := x.m.f.regionByID(h.Region)
		if r == nil {
			if x.theirs[h.Region] != 0 {
				x.askBack()
			}
			continue
		}
		if !r.has() {
			continue
		}
		r.mu.RLock()
		behind, err := !r.core.Covers(h.Context), r.core.CheckHello(h)
		r.mu.RUnlock()
		if err != nil {
			return err
		}
		if p != nil && behind {
			p.learnAhead(r.id, h.Context, x.m.f.cfg.Now())
		} else if p != nil {
			p.learn(r.id, h.Context, x.m.f.cfg.Now())
		}
		if err := x.send(r, h, behind); err != nil {
			return err
		}
	}
	return nil
}

// lookForNews pulls in turn when the peer listed regions of which nothing is known here.
func (x *server) lookForNews() {
	for id, hash := range x.theirs {
		if r := x.m.f.regionByID(id); hash != 0 && (r == nil || r.Held() && r.hash.Load() == 0) {
			x.askBack()
			return
		}
	}
}

func (x *server) askBack() {
	if p := x.m.peer(x.id); p != nil {
		p.ask(becauseBehind)
	}
}

// send sends one region's chunks. behind says that the peer has what is not here.
func (x *server) send(r *Region, peer *crdt.Seen, behind bool) error {
	r.mu.RLock()
	if !r.has() {
		r.mu.RUnlock()
		return nil
	}
	pull, life := r.core.NewPull(peer), r.life.Load()
	how := x.arrange(r, pull, peer, behind)
	r.mu.RUnlock()
	x.differ = append(x.differ, r)
	switch {
	case how == asLeader:
		x.lend(r, peer.Context)
	case how == asFollower:
		x.follow(r)
	case behind:
		x.askBack()
	}
	if how == asFollower {
		return nil
	}
	return x.goOn(&answer{r: r, life: life, pull: pull})
}

// goOn sends what there is to send of a region before the puller must reply, or all of it.
func (x *server) goOn(a *answer) error {
	for named := false; ; named = true {
		msgs, whole, err := x.next(a)
		if len(msgs) == 0 || err != nil {
			x.unstage(a)
			return x.paused(a, err)
		}
		if !named {
			if err := x.c.send(frameName, []byte(a.r.name)); err != nil {
				return err
			}
		}
		err = x.sendAll(msgs, whole)
		x.unstage(a)
		if err != nil {
			return err
		}
	}
}

// unstage says that what was made at once is sent, or will not be.
func (x *server) unstage(a *answer) {
	if a.staged {
		a.staged = false
		x.m.stage(-1)
	}
}

// paused notes that a region waits for the puller, if it does.
func (x *server) paused(a *answer, err error) error {
	if err != nil { // the other regions must not wait for this one
		x.m.f.cfg.Logger.Error("a region cannot be sent", "region", a.r.name, "err", err)
		return nil
	}
	if a.pull.Waiting() && x.can&canReply != 0 {
		x.waiting = append(x.waiting, a)
	}
	return x.c.flush()
}

// next makes the next message, or, of a causal region, all there are at this moment, if they are not too many: then they are
// to be merged as a whole.
func (x *server) next(a *answer) (msgs [][]byte, whole bool, err error) {
	limit := 0
	whole = a.r.causal.Load() && !a.spilled && x.can&canWhole != 0 && x.m.stage(1)
	if a.staged = whole; whole {
		limit = x.m.f.cfg.MaxStaged
	}
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	for size := 0; ; {
		var msg []byte
		if !a.r.mending && a.r.since(a.life) == nil { // else it is for another pull
			msg = a.pull.Next(chunkBytes)
		}
		if msg == nil {
			if err := a.pull.Err(); err != nil && (whole || len(msgs) == 0) { // a part of a causal region is of no use
				return nil, false, a.r.unread(err)
			}
			return msgs, whole && len(msgs) > 1, nil
		}
		if len(msg) >= frameMax {
			return nil, false, fmt.Errorf("%w: a key holds concurrent values of %d bytes, limit %d; write to it once to settle them",
				ErrTooLarge, len(msg), frameMax)
		}
		msgs = append(msgs, msg)
		if size += len(msg); size > limit {
			a.spilled = true
			return msgs, false, nil
		}
	}
}

// stagingMax bounds the sessions that make a causal region's chunks all at once, each up to MaxStaged bytes, and those that keep
// them back at the other end. Further ones make and merge them one by one.
const stagingMax = 4

// stage counts them, and reports whether one more may.
func (m *mesh) stage(change int32) bool {
	if n := m.staging.Add(change); n > stagingMax && change > 0 {
		m.staging.Add(-1)
		return false
	}
	return true
}

func (x *server) sendAll(msgs [][]byte, whole bool) error {
	if whole {
		if err := x.c.send(frameWhole, binary.AppendUvarint(nil, uint64(len(msgs)))); err != nil {
			return err
		}
	}
	for _, msg := range msgs {
		if err := x.sendChunk(msg); err != nil {
			return err
		}
		if goOn, retry := x.place.yield(!whole); !goOn {
			return &busyError{retry}
		}
	}
	return nil
}

func (x *server) sendChunk(msg []byte) error {
	if x.can&canZstd != 0 {
		if z := x.squeezer.squeeze(msg); z != nil {
			start := time.Now()
			err := x.c.send(frameZstd, z)
			x.squeezer.sent(time.Since(start))
			return err
		}
	}
	return x.c.send(frameChunk, msg)
}
