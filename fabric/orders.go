package fabric

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
	policy "github.com/edgemem/edgemem/tiers/place"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// What holders, deciders and those who take and give copies say to each other, on a stream for each exchange:
//
//	holder  → REPORT    memory pressure, regions and their use by consumer       → REPORTED
//	decider → MOVE      region, take or give, its bytes                          → STILL…, MOVED why not; nothing: it is done
//	anybody → EXPLAIN   region, and a placement to try                           → EXPLAINED, an Explanation as JSON; nothing: it is not held there
//
// A node of an earlier version ends the stream instead.
const (
	frameReport    = 64
	frameReported  = 65
	frameMove      = 66
	frameStill     = 67
	frameMoved     = 68
	frameExplain   = 69
	frameExplained = 70
)

const (
	reportRegions = 1024 // of one report; further ones are not told of
	reportUses    = 65   // consumers of one region
	reportCount   = 1 << 40
	orderTimeout  = 10 * time.Second // for a report, and between two signs of life of a move
	stillEvery    = 4 * time.Second
	moveWhyMax    = 512 // bytes of a reason
	explainMax    = 1 << 20
)

// useReport is the use of one region.
type useReport struct {
	region crdt.RegionID
	use    []policy.Use
}

func appendReport(b []byte, level pressure.Level, list []useReport) []byte {
	list = list[:min(len(list), reportRegions)]
	b = binary.AppendUvarint(append(b, byte(level)), uint64(len(list)))
	for _, x := range list {
		use := x.use[:min(len(x.use), reportUses)]
		b = binary.AppendUvarint(append(b, x.region[:]...), uint64(len(use)))
		for _, u := range use {
			b = appendText(b, string(u.Consumer))
			for _, n := range []int64{u.Reads, u.Writes, u.ReadBytes, u.Written} {
				b = binary.AppendUvarint(b, uint64(min(max(n, 0), reportCount)))
			}
		}
	}
	return b
}

func decodeReport(b []byte) (level pressure.Level, list []useReport, err error) {
	f := fields{rest: b}
	level = min(pressure.Level(f.byte()), pressure.Refuse)
	for range f.number(reportRegions) {
		var x useReport
		copy(x.region[:], f.take(len(x.region)))
		for range f.number(reportUses) {
			u := policy.Use{Consumer: crdt.NodeID(f.text(nodeIDMax))}
			for _, n := range []*int64{&u.Reads, &u.Writes, &u.ReadBytes, &u.Written} {
				*n = int64(f.number(reportCount))
			}
			if f.bad {
				break
			}
			x.use = append(x.use, u)
		}
		if f.bad {
			break
		}
		list = append(list, x)
	}
	return level, list, f.err("a report of use")
}

// moveOrder asks a node to take or give a copy.
type moveOrder struct {
	region crdt.RegionID
	give   bool
	bytes  int64
}

func (o moveOrder) append(b []byte) []byte {
	flags := byte(0)
	if o.give {
		flags = 1
	}
	return binary.AppendUvarint(append(append(b, o.region[:]...), flags), uint64(min(max(o.bytes, 0), reportCount)))
}

func decodeMove(b []byte) (o moveOrder, err error) {
	f := fields{rest: b}
	copy(o.region[:], f.take(len(o.region)))
	o.give = f.byte()&1 != 0
	o.bytes = int64(f.number(reportCount))
	return o, f.err("an order to move a copy")
}

// explainRequest asks for what a decider knows.
type explainRequest struct {
	region string
	try    *Placement // nil: none
}

func (q explainRequest) append(b []byte) ([]byte, error) {
	b = appendText(b, q.region)
	if q.try == nil {
		return b, nil
	}
	text, err := json.Marshal(q.try)
	return append(b, text...), err
}

func decodeExplain(b []byte) (q explainRequest, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > crdt.MaxRegionName || n > uint64(len(b)-k) {
		return q, fmt.Errorf("%w: a question of %d bytes", errProtocol, len(b))
	}
	q.region = string(b[k : k+int(n)])
	if rest := b[k+int(n):]; len(rest) > 0 {
		q.try = &Placement{}
		if err := json.Unmarshal(rest, q.try); err != nil {
			return q, fmt.Errorf("%w: a placement to try: %w", errProtocol, err)
		}
		if err := q.try.check(); err != nil {
			return q, err
		}
	}
	return q, nil
}

// exchange opens a stream, sends one frame and reads until one of a kind comes.
func (d *decider) exchange(ctx context.Context, id crdt.NodeID, kind byte, payload []byte, want byte) (b []byte, err error) {
	s, err := d.f.cfg.Transport.OpenStream(ctx, id)
	if err != nil {
		return nil, err
	}
	c := newConn(ctx, s, limits{})
	stop := c.watchContext(ctx)
	defer func() { stop(); c.close(err) }()
	if err := c.say(kind, payload); err != nil {
		return nil, err
	}
	for {
		kind, b, err := c.read()
		switch {
		case err != nil:
			return nil, err
		case kind == want:
			return b, nil
		case kind != frameStill:
			return nil, fmt.Errorf("%w: frame of kind %d", errProtocol, kind)
		}
	}
}

// report tells the decider of some regions who used them here. What does not arrive is forgotten.
func (d *decider) report(id crdt.NodeID, level pressure.Level, list []useReport) {
	ctx, cancel := context.WithTimeout(d.f.ctx, orderTimeout)
	defer cancel()
	if _, err := d.exchange(ctx, id, frameReport, appendReport(nil, level, list), frameReported); err != nil {
		d.f.cfg.Logger.Debug("a report of use did not arrive", "peer", id, "err", err)
		return
	}
	d.mu.Lock()
	d.count.Reports++
	d.mu.Unlock()
}

// order has another node take or give a copy.
func (d *decider) order(ctx context.Context, id crdt.NodeID, o moveOrder) error {
	why, err := d.exchange(ctx, id, frameMove, o.append(nil), frameMoved)
	if err != nil {
		return err
	}
	if len(why) > 0 {
		return errors.New(shown(string(why[:min(len(why), moveWhyMax)])))
	}
	return nil
}

// serve answers what others say.
func (d *decider) serve(id crdt.NodeID, kind byte, c *conn) error {
	b, err := c.payload()
	if err != nil {
		return err
	}
	switch kind {
	case frameReport:
		level, list, err := decodeReport(b)
		if err != nil {
			return err
		}
		if !d.moves() {
			return errors.New("fabric: no node reports to one that decides on nothing")
		}
		d.take(id, level, list)
		return c.say(frameReported, nil)
	case frameExplain:
		q, err := decodeExplain(b)
		if err != nil {
			return err
		}
		out, err := d.explained(q)
		if err != nil {
			return err
		}
		return c.say(frameExplained, out)
	}
	o, err := decodeMove(b)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	d.f.goDo(func() { done <- d.carryOut(d.f.ctx, id, o) }) // it goes on if who asked goes away
	still := time.NewTicker(stillEvery)
	defer still.Stop()
	for {
		select {
		case err := <-done:
			why := ""
			if err != nil {
				why = err.Error()
			}
			return c.say(frameMoved, []byte(why[:min(len(why), moveWhyMax)]))
		case <-still.C:
			if err := c.say(frameStill, nil); err != nil {
				return err
			}
		}
	}
}
