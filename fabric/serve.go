package fabric

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	hellos []*crdt.Seen
	differ []*Region
}

// serve answers a peer's pull.
func (m *mesh) serve(ctx context.Context, id crdt.NodeID, s io.ReadWriteCloser) (err error) {
	c := newConn(s)
	stop := c.watchContext(ctx)
	defer func() { stop(); c.close(err); m.servedBytes.Add(c.out) }()
	if err := c.begun(); err != nil { // a peer that waits for its own turn takes no place
		return err
	}
	x := &server{m: m, id: id, c: c, scope: everyBucket}
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
	return x.readHellos()
}

// hellosMax bounds the hellos of one turn, bytes.
const hellosMax = 16 << 20

// readHellos reads up to the end of the peer's turn, at most one hello a region that it listed.
func (x *server) readHellos() error {
	x.hellos = nil
	said, size := map[crdt.RegionID]bool{}, 0
	for {
		kind, b, err := x.c.read()
		if err != nil {
			return err
		}
		if kind == frameOver {
			x.can, err = decodeOver(b)
			return err
		}
		if size += len(b); kind != frameHello || size > hellosMax {
			return fmt.Errorf("%w: frame of kind %d among hellos of %d bytes, limit %d", errProtocol, kind, size, hellosMax)
		}
		h, err := crdt.DecodeHello(b)
		if err != nil {
			return err
		}
		if _, listed := x.theirs[h.Region]; !listed || said[h.Region] {
			return fmt.Errorf("%w: a hello for region %v, not listed or said twice", errProtocol, h.Region)
		}
		said[h.Region] = true
		x.hellos = append(x.hellos, h)
	}
}

// reply sends what the peer lacks: of the regions it sent a hello for, of those it does not know, and, after
// another turn, of those that differ and came without a hello.
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
		case told[r.id] || hash == r.hash.Load():
		case listed:
			want = append(want, r.id[:]...)
		default:
			if err := x.send(r, &crdt.Seen{Region: r.id}); err != nil {
				return err
			}
		}
	}
	x.lookForNews()
	if want == nil {
		return nil
	}
	if err := x.c.send(frameWant, want); err != nil {
		return err
	}
	if err := x.c.flush(); err != nil {
		return err
	}
	if err := x.readHellos(); err != nil {
		return err
	}
	return x.answerHellos(told)
}

func (x *server) answerHellos(told map[crdt.RegionID]bool) error {
	for _, h := range x.hellos {
		told[h.Region] = true
		r := x.m.f.regionByID(h.Region)
		if r == nil {
			x.askBack()
			continue
		}
		r.mu.RLock()
		behind := !r.core.Covers(h.Context)
		r.mu.RUnlock()
		if behind {
			x.askBack()
		}
		if p := x.m.peer(x.id); p != nil {
			p.learn(r.id, h.Context, x.m.f.cfg.Now())
		}
		if err := x.send(r, h); err != nil {
			return err
		}
	}
	return nil
}

// lookForNews pulls in turn when the peer listed regions of which nothing is known here.
func (x *server) lookForNews() {
	for id := range x.theirs {
		if r := x.m.f.regionByID(id); r == nil || r.hash.Load() == 0 {
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

// send sends one region's chunks.
func (x *server) send(r *Region, peer *crdt.Seen) error {
	x.differ = append(x.differ, r)
	r.mu.Lock()
	pull := r.core.NewPull(peer)
	msg := pull.Next(chunkBytes)
	r.mu.Unlock()
	if msg == nil {
		return nil
	}
	if err := x.c.send(frameName, []byte(r.name)); err != nil {
		return err
	}
	for msg != nil {
		if len(msg) >= frameMax { // the other regions must not wait for this one
			x.m.f.cfg.Logger.Error("a key holds too many concurrent large values to be sent; write to it once to settle them",
				"region", r.name, "bytes", len(msg), "limit", frameMax)
			break
		}
		if err := x.c.send(frameChunk, msg); err != nil {
			return err
		}
		if goOn, retry := x.place.yield(); !goOn {
			return &busyError{retry}
		}
		r.mu.Lock()
		msg = pull.Next(chunkBytes)
		r.mu.Unlock()
	}
	return x.c.flush()
}
