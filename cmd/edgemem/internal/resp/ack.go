package resp

import (
	"time"

	"slices"

	"github.com/edgemem/edgemem/fabric"
)

// pendingAck is a write whose reply stands in out[start:end] and may not be sent before the region's
// acknowledgement.
type pendingAck struct {
	commit     fabric.Commit
	start, end int
}

// acksMax bounds the writes that wait at once: at that many the pipeline pauses for them.
const acksMax = 4096

// settle waits for what the collected replies promise, then sends them. It reports whether the
// connection is still good.
//
// A pipeline waits once, at its end: the commits of all its commands become durable together.
func (c *client) settle() bool {
	c.beforeAck()
	c.await(c.since.Load())
	if !c.charge() {
		return false
	}
	return c.send()
}

// beforeAck counts what was run: how long it waits for its acknowledgement is not counted.
func (c *client) beforeAck() {
	now := c.srv.sinceStart()
	c.noteSlow(now)
	c.run.flush(&c.srv.stats, now)
	c.since.Store(now)
}

// await waits for every pending write, and puts an error in place of each reply whose write failed. begun is since when, on the
// server's clock.
func (c *client) await(begun int64) {
	if len(c.pending) == 0 {
		return
	}
	c.leaveLoop()
	var failed []failedAck
	var last fabric.Commit
	var err error
	for i := range c.pending {
		p := &c.pending[i]
		if i == 0 || p.commit != last { // commands of one run share their commit
			last, err = p.commit, p.commit.Wait(c.srv.ackCtx)
		}
		if err != nil {
			failed = append(failed, failedAck{p.start, p.end, err})
		}
	}
	clear(c.pending)
	c.pending = c.pending[:0]
	c.srv.stats.ackWaits.Add(1)
	took := c.srv.sinceStart() - begun
	c.srv.stats.ackNanos.Add(took)
	c.srv.latency.note(eventAck, time.Duration(took))
	if len(failed) > 0 {
		c.amend(failed)
	}
}

type failedAck struct {
	start, end int
	err        error
}

// amend rewrites the collected replies with an error where a write was not acknowledged. A reply that
// was suppressed stays so.
func (c *client) amend(failed []failedAck) {
	c.srv.log.Error("resp: writes were not acknowledged", "client", c.id, "writes", len(failed), "err", failed[0].err)
	c.srv.stats.failedAcks.Add(int64(len(failed)))
	old := slices.Clone(c.buf)
	c.buf = c.buf[:0]
	at := 0
	for _, f := range failed {
		c.buf = append(c.buf, old[at:f.start]...)
		at = f.end
		if f.end > f.start {
			c.failf("%sthe write is in memory but was not acknowledged: %v", errorWord(f.err), f.err)
		}
	}
	c.buf = append(c.buf, old[at:]...)
}
