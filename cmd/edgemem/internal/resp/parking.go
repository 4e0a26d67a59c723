package resp

import (
	"errors"
	"math"
	"os"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

// timeout reads how long a command waits, in seconds; zero: until something comes.
func (c *client) timeout(i int) (deadline time.Time, ok bool) {
	seconds, isFloat := parseFloat(c.args[i])
	ms := math.Ceil(seconds * 1000)
	switch {
	case !isFloat:
		c.fail("ERR timeout is not a float or out of range")
	case ms < 0 || ms >= 1<<63: // of which Redis takes the sign for what does not fit
		c.fail("ERR timeout is negative")
	case ms == 0:
		return time.Time{}, true
	case ms > float64(math.MaxInt64/int64(time.Millisecond)): // longer than anybody lives
		return time.Time{}, true
	default:
		return time.Now().Add(time.Duration(ms) * time.Millisecond), true
	}
	return time.Time{}, false
}

// blocks reports whether the command under way may wait for a key to hold something.
func (c *client) blocks() bool {
	return c.cmd.is&flagBlocks != 0 && (c.cmd.waits == nil || c.cmd.waits(c.args))
}

// park is called by a command that has found nothing in its keys: the client waits for them. Within a transaction nothing waits.
func (c *client) park(keys [][]byte, deadline time.Time, nothing func()) {
	if c.executing {
		nothing()
		return
	}
	c.parked = true
	if c.waiter != nil {
		return
	}
	size := 0
	for _, k := range keys {
		size += len(k) + waitKeyOverhead
	}
	if size > waitKeyBytesMax {
		c.parked = false
		c.fail(errTooManyWaited)
		return
	}
	w := &waiter{c: c, region: c.region, deadline: deadline, nothing: nothing}
	known := make(map[string]bool, len(keys))
	for _, k := range keys {
		if !known[string(k)] {
			known[string(k)] = true
			w.keys = append(w.keys, string(k))
		}
	}
	c.waiter = w
	c.srv.queues.add(w)
}

// mayWait runs a command that may park its client: the region's changes are followed before it looks, so that it misses none.
func (c *client) mayWait(run func()) {
	interest := &c.srv.queues.interest
	interest.Add(1)
	defer func() {
		if c.waiter == nil && interest.Add(-1) == 0 {
			c.srv.feeds.restSoon()
		}
	}()
	run()
}

// wait parks the client's goroutine until its command has an answer. It reports whether the connection goes on.
func (c *client) wait() bool {
	w := c.waiter
	c.leaveLoop()
	good := c.settle() && c.parkUntilEnded(w)
	left := c.srv.queues.leave(w)
	_ = c.conn.SetReadDeadline(time.Time{})
	good = good && !c.srv.isClosing()
	c.waiter = nil
	c.noteWaiter(nil)
	if c.srv.queues.interest.Add(-1) == 0 {
		c.srv.feeds.restSoon()
	}
	c.enter(stateBusy)
	c.turnAt = c.since.Load()
	c.run.begin(c.turnAt)
	switch {
	case !good:
		return false
	case !left:
		c.answerServed(w)
	case w.fault != "":
		c.begin()
		c.fail(w.fault)
		c.finish()
	default:
		c.begin()
		w.nothing()
		c.finish()
	}
	return true
}

// answerServed lets the reply that is in the buffer already wait for its write.
func (c *client) answerServed(w *waiter) {
	if w.err != nil {
		c.undo()
		c.fail(errorWord(w.err) + w.err.Error())
		return
	}
	if w.region.Ack() != fabric.AckMemory {
		c.pending = append(c.pending, pendingAck{w.commit, c.start, len(c.buf)})
	}
}

// parkUntilEnded reads on, so that a connection that is lost is noticed; a wake, and the deadline, are deadlines of the read.
func (c *client) parkUntilEnded(w *waiter) bool {
	c.enter(stateBlocked)
	if !c.setBusy(false) {
		return false
	}
	defer c.setBusy(true)
	if c.srv.queues.arm(w) {
		c.srv.serveWaiters(w.region, w.keys...)
	}
	for {
		_ = c.conn.SetReadDeadline(w.deadline)
		if c.srv.queues.ended(w) { // after the deadline is set: a wake from now on sets another
			return true
		}
		if c.srv.isClosing() {
			return false
		}
		if !c.roomWhileParked() {
			return false
		}
		n, err := c.conn.Read(c.in[c.tail:])
		c.tail += n
		c.srv.stats.bytesIn.Add(int64(n))
		switch {
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			c.note(err)
			return false
		case !w.deadline.IsZero() && !time.Now().Before(w.deadline):
			return true
		}
	}
}

// roomWhileParked makes room for commands that come behind the one that waits. Its arguments stay where they are.
func (c *client) roomWhileParked() bool {
	if c.tail < len(c.in) {
		return true
	}
	more := len(c.in)
	next := make([]byte, 2*more)
	copy(next, c.in[:c.tail])
	c.in = next
	c.held.Add(int64(more))
	if c.srv.buffered.Add(int64(more)) <= c.srv.limits.BufferedBytes {
		return true
	}
	c.srv.stats.overBudget.Add(1)
	return false
}

// noteWaiter is for CLIENT LIST and CLIENT UNBLOCK; nil: the client waits no more.
func (c *client) noteWaiter(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.labels.waiter = w
}

// clientUnblock is CLIENT UNBLOCK.
func clientUnblock(c *client) {
	fault := ""
	if len(c.args) == 4 {
		switch lowerWord(c.args[3]) {
		case "timeout":
		case "error":
			fault = "UNBLOCKED client unblocked via CLIENT UNBLOCK"
		default:
			c.fail("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
			return
		}
	}
	id, ok := c.integer(2)
	if !ok {
		return
	}
	done := false
	for _, other := range c.srv.snapshot() {
		if other.id != id {
			continue
		}
		other.mu.Lock()
		w := other.labels.waiter
		other.mu.Unlock()
		done = w != nil && c.srv.queues.dismiss(w, fault)
	}
	c.bool01(done)
}
