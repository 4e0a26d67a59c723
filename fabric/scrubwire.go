package fabric

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/edgemem/edgemem/crdt"
)

// A comparison is one exchange on a stream of its own. Earlier versions end it, which costs nothing else.
//
//	asker → SCRUB   a fingerprint of contexts and digests for each bucket of regions
//	peer  → FOUND   the buckets in which its own are others
//	asker → SUMS    region, context, digest, …     (of those buckets)
//	peer  → SUSPECT regions compared, and those of which it has seen the same and holds something else
//	asker → COMPARE region                         (one after the other)
//	peer  → SKETCH  a message of crdt.Scrub
//	asker → REPLY   a message of crdt.Scrubber     (until both know what differs, and have mended it)
//	peer  → SKETCH  empty: this region is done
//
// The asker closes the stream.
const (
	frameScrub   = 32
	frameFound   = 33
	frameSums    = 34
	frameSuspect = 35
	frameCompare = 36
	frameSketch  = 37
)

// sum is what two replicas compare: equal contexts must mean equal digests.
type sum struct {
	id              crdt.RegionID
	context, digest uint64
}

const sumBytes = 32

func (r *Region) sum() sum {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return sum{r.id, r.core.ContextHash(), r.core.ReadableDigest()}
}

// sumsOf gives the sums of regions that have seen something, in some buckets.
func sumsOf(regions []*Region, scope *bucketSet) (out []sum) {
	for _, r := range regions {
		if !scope.has(r.bucket()) {
			continue
		}
		if s := r.sum(); s.context != 0 {
			out = append(out, s)
		}
	}
	return out
}

// fold fingerprints sums by bucket.
func fold(sums []sum) *snapshot {
	var s snapshot
	for _, x := range sums {
		s.bucket[x.id[0]] ^= fingerprint(x.id, x.context*0x9fb21c651e98df25+x.digest)
	}
	return &s
}

func appendSums(b []byte, sums []sum) []byte {
	for _, x := range sums {
		b = append(b, x.id[:]...)
		b = binary.BigEndian.AppendUint64(b, x.context)
		b = binary.BigEndian.AppendUint64(b, x.digest)
	}
	return b
}

func decodeSums(b []byte) ([]sum, error) {
	if len(b)%sumBytes != 0 || len(b) > sumBytes*maxRegions {
		return nil, fmt.Errorf("%w: sums of %d bytes", errProtocol, len(b))
	}
	out := make([]sum, len(b)/sumBytes)
	for i := range out {
		x := b[sumBytes*i:]
		out[i] = sum{crdt.RegionID(x[:16]), binary.BigEndian.Uint64(x[16:24]), binary.BigEndian.Uint64(x[24:sumBytes])}
	}
	return out, nil
}

// want reads a frame of one kind.
func (c *conn) want(kind byte) ([]byte, error) {
	got, b, err := c.read()
	if err == nil && got == frameBusy {
		err = errUnready
	} else if err == nil && got != kind {
		err = fmt.Errorf("%w: frame of kind %d instead of %d", errProtocol, got, kind)
	}
	return b, err
}

// say sends a frame at once.
func (c *conn) say(kind byte, b []byte) error {
	if err := c.send(kind, b); err != nil {
		return err
	}
	return c.flush()
}

// compare asks a peer to compare some regions, and mends what differs.
func (s *scrubber) compare(ctx context.Context, p *peer, regions []*Region, rep *ScrubReport) (err error) {
	ctx, cancel := context.WithTimeout(ctx, scrubTimeout)
	defer cancel()
	stream, err := s.m.f.cfg.Transport.OpenStream(ctx, p.id)
	if err != nil {
		return err
	}
	c := newConn(ctx, stream, p.limits)
	stop := c.watchContext(ctx)
	defer func() { stop(); c.close(err) }()
	suspects, err := s.sift(c, regions, rep)
	if err != nil {
		return err
	}
	for _, id := range suspects {
		r := s.m.f.regionByID(id)
		if r == nil {
			return fmt.Errorf("%w: it suspects region %v, which was not listed", errProtocol, id)
		}
		if err := s.settle(c, p.id, r, rep); err != nil {
			return err
		}
	}
	return nil
}

// sift finds the regions that both sides have seen alike and do not hold alike.
func (s *scrubber) sift(c *conn, regions []*Region, rep *ScrubReport) ([]crdt.RegionID, error) {
	all := sumsOf(regions, everyBucket)
	if err := c.say(frameScrub, fold(all).append(nil)); err != nil {
		return nil, err
	}
	b, err := c.want(frameFound)
	if err != nil {
		return nil, err
	}
	var scope bucketSet
	if len(b) != len(scope) {
		return nil, fmt.Errorf("%w: a set of buckets of %d bytes", errProtocol, len(b))
	}
	copy(scope[:], b)
	listed := all[:0:0]
	for _, x := range all {
		if scope.has(int(x.id[0])) {
			listed = append(listed, x)
		}
	}
	rep.Compared += len(all) - len(listed)
	s.compared.Add(uint64(len(all) - len(listed)))
	if len(listed) == 0 {
		return nil, nil
	}
	if err := c.say(frameSums, appendSums(nil, listed)); err != nil {
		return nil, err
	}
	if b, err = c.want(frameSuspect); err != nil {
		return nil, err
	}
	alike, n := binary.Uvarint(b)
	if n <= 0 || alike > uint64(len(listed)) {
		return nil, fmt.Errorf("%w: %d of %d regions are alike", errProtocol, alike, len(listed))
	}
	rep.Compared += int(alike)
	rep.Moving += len(listed) - int(alike)
	s.compared.Add(alike)
	return decodeIDs(b[n:])
}

// settle finds out what differs in one region, and mends it.
func (s *scrubber) settle(c *conn, peer crdt.NodeID, r *Region, rep *ScrubReport) error {
	if err := c.say(frameCompare, r.id[:]); err != nil {
		return err
	}
	r.mu.RLock()
	x, life := r.core.NewScrubber(), r.life.Load()
	r.mu.RUnlock()
	for {
		msg, err := c.want(frameSketch)
		if err != nil {
			return err
		}
		err = s.mend(c, r, life, x, msg)
		if errors.Is(err, crdt.ErrTooDifferent) {
			s.m.f.raise(AlarmDiverged, "%v; the other node is %s", err, s.m.called(peer))
		}
		found, done := x.Done()
		if done {
			s.found(r, peer, found, rep)
		}
		if done || err != nil {
			return err
		}
	}
}

// mend takes a message of the peer and sends the reply. What the last one makes us write again takes the place of what the peer
// holds under the same dots; so nothing of it may leave this node before the peer has written its own again, and says so.
func (s *scrubber) mend(c *conn, r *Region, life uint32, x *crdt.Scrubber, msg []byte) (err error) {
	r.changed(func(now int64) {
		if err = r.since(life); err != nil {
			return
		}
		r.mending = true
		err = x.Merge(msg, now)
		r.core.DropPush()
	})
	defer func() {
		r.mu.Lock()
		r.mending = false
		r.mu.Unlock()
		s.m.changed()
	}()
	if err != nil {
		return err
	}
	if reply := x.TakeReply(); reply != nil {
		err = c.say(frameReply, reply)
	}
	if _, done := x.Done(); done && err == nil {
		_, err = c.want(frameSketch)
	}
	return err
}

// serveScrub answers a comparison.
func (m *mesh) serveScrub(id crdt.NodeID, c *conn) error {
	if m.scrubs.answer.Add(1) > scrubsMax {
		m.scrubs.answer.Add(-1)
		return c.say(frameBusy, binary.AppendUvarint(nil, uint64(busyMax.Milliseconds())))
	}
	defer m.scrubs.answer.Add(-1)
	all := m.f.all()
	b, err := c.want(frameScrub)
	if err != nil {
		return err
	}
	if len(b) != 8*bucketCount {
		return fmt.Errorf("%w: fingerprints of %d bytes", errProtocol, len(b))
	}
	scope := fold(sumsOf(all, everyBucket)).differ(b)
	if err := c.say(frameFound, scope[:]); err != nil {
		return err
	}
	if b, err = c.want(frameSums); err != nil {
		return err
	}
	theirs, err := decodeSums(b)
	if err != nil {
		return err
	}
	suspects, msg := m.suspect(theirs)
	if err := c.say(frameSuspect, msg); err != nil {
		return err
	}
	for range suspects {
		if err := m.answerCompare(id, c); err != nil {
			return err
		}
	}
	return nil
}

// suspect gives the regions of which both have seen the same, and hold something else, and the message that says so.
func (m *mesh) suspect(theirs []sum) (suspects int, msg []byte) {
	alike := 0
	for _, x := range theirs {
		r := m.f.regionByID(x.id)
		if r == nil {
			continue
		}
		if ours := r.sum(); ours.context != x.context {
			continue
		} else if alike++; ours.digest != x.digest {
			suspects++
			msg = append(msg, x.id[:]...)
		}
	}
	return suspects, append(binary.AppendUvarint(nil, uint64(alike)), msg...)
}

func (m *mesh) answerCompare(id crdt.NodeID, c *conn) error {
	b, err := c.want(frameCompare)
	if err != nil {
		return err
	}
	if len(b) != len(crdt.RegionID{}) {
		return fmt.Errorf("%w: a region id of %d bytes", errProtocol, len(b))
	}
	r := m.f.regionByID(crdt.RegionID(b))
	if r == nil {
		return fmt.Errorf("%w: it compares region %x, which was not suspected", errProtocol, b)
	}
	r.mu.Lock()
	s, life := r.core.NewScrub(), r.life.Load()
	r.mu.Unlock()
	for {
		r.mu.Lock()
		msg := s.Next()
		r.mu.Unlock()
		if msg == nil {
			m.scrubs.found(r, id, s.Report(), nil)
			return c.say(frameSketch, nil)
		}
		if err := c.say(frameSketch, msg); err != nil {
			return err
		}
		reply, err := c.want(frameReply)
		if err != nil {
			return err
		}
		reply = append([]byte(nil), reply...)
		r.changed(func(now int64) {
			if err = r.since(life); err == nil {
				err = s.Reply(reply, now)
			}
		})
		if err != nil {
			return err
		}
	}
}
