package fabric

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/edgemem/edgemem/crdt"
)

// server is the answering side of one session.
type server struct {
	m      *mesh
	id     crdt.NodeID
	c      *conn
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
	select {
	case m.serving <- struct{}{}:
		defer func() { <-m.serving }()
	case <-ctx.Done():
		return ctx.Err()
	}
	x := &server{m: m, id: id, c: c}
	same, err := x.listen()
	if err != nil || same {
		return err
	}
	if err := x.reply(); err != nil {
		return err
	}
	if err := x.c.send(frameEnd, appendSummary(nil, x.state())); err != nil {
		return err
	}
	return x.c.flush()
}

// listen reads the peer's side. same reports that a check ended the session.
func (x *server) listen() (same bool, err error) {
	kind, b, err := x.c.read()
	if err != nil {
		return false, err
	}
	if kind == frameCheck {
		if same, err = x.check(b); same || err != nil {
			return same, err
		}
		if kind, b, err = x.c.read(); err != nil {
			return false, err
		}
	}
	if kind != frameAsk {
		return false, fmt.Errorf("%w: frame of kind %d instead of a list of regions", errProtocol, kind)
	}
	list, err := decodeSummary(b)
	if err != nil {
		return false, err
	}
	if len(list) > maxRegions {
		return false, fmt.Errorf("%w: %d regions", errProtocol, len(list))
	}
	x.theirs = make(map[crdt.RegionID]uint64, len(list))
	for _, s := range list {
		x.theirs[s.id] = s.hash
	}
	return false, x.readHellos()
}

func (x *server) check(b []byte) (same bool, err error) {
	if len(b) != 8 {
		return false, fmt.Errorf("%w: a check of %d bytes", errProtocol, len(b))
	}
	list, all := x.m.f.summaries()
	kind := byte(frameDiffer)
	if same = all == binary.BigEndian.Uint64(b); same {
		kind = frameSame
		if p := x.m.peer(x.id); p != nil {
			p.inStep(list, x.m.f.cfg.Now())
		}
	}
	if err := x.c.send(kind, nil); err != nil {
		return same, err
	}
	return same, x.c.flush()
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
			return nil
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
	for _, r := range x.m.f.all() {
		hash, listed := x.theirs[r.id]
		ours := r.seen().hash
		switch {
		case told[r.id] || ours == hash:
		case listed:
			want = append(want, r.id[:]...)
		case ours != 0:
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

// lookForNews pulls in turn when the peer listed regions that are not known here.
func (x *server) lookForNews() {
	for id := range x.theirs {
		if x.m.f.regionByID(id) == nil {
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
		r.mu.Lock()
		msg = pull.Next(chunkBytes)
		r.mu.Unlock()
	}
	return x.c.flush()
}

// state lists the regions that differed, as they are now.
func (x *server) state() []state {
	out := make([]state, 0, len(x.differ))
	for _, r := range x.differ {
		out = append(out, state{r, r.seen()})
	}
	return out
}
