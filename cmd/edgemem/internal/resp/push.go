package resp

import (
	"sync"
	"sync/atomic"
	"time"
)

// outbox holds what is sent to a client without being asked for: messages, invalidations, what MONITOR sees. While the
// client's goroutine is busy with commands, it sends the outbox itself, after its replies. While that goroutine waits for
// input, another one does, which runs from the first subscription to the end of the connection.
type outbox struct {
	mu      sync.Mutex
	writer                // messages not sent yet, in the protocol of the connection
	busy    bool          // the client's goroutine will look here before it waits
	full    bool          // the client was cut off
	started bool          // the second goroutine runs
	wake    chan struct{} // capacity 1: one signal stands for any number
	done    chan struct{} // closed when the second goroutine has ended

	sending sync.Mutex   // one write to the connection at a time
	since   atomic.Int64 // when the second goroutine began to write, on the server's clock; 0: it does not
}

// startPushing makes sure that messages leave while the client is idle.
func (c *client) startPushing() {
	o := &c.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.started {
		return
	}
	o.started, o.busy, o.resp3 = true, true, c.resp3
	o.limitBytes = c.srv.limits.PushBytes
	o.wake, o.done = make(chan struct{}, 1), make(chan struct{})
	go c.pushing()
}

// push adds one message, written by write, or cuts the client off when it does not keep up. Any goroutine may call it,
// under locks too: it does not wait for the network.
func (c *client) push(write func(w *writer)) {
	o := &c.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full || !o.started {
		return
	}
	was := len(o.buf)
	o.start, o.overflowed = 0, false
	write(&o.writer)
	c.srv.buffered.Add(int64(len(o.buf) - was))
	if o.overflowed || c.srv.buffered.Load() > c.srv.limits.BufferedBytes {
		o.full = true
		c.srv.stats.slowListeners.Add(1)
		c.srv.log.Warn("resp: closing a client that does not keep up with its messages", "client", c.id, "addr", c.addr, "bytes", was, "limit", o.limitBytes)
		c.kill()
		return
	}
	if !o.busy {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// takeOutbox gives the messages that wait. The caller sends them.
func (c *client) takeOutbox() []byte {
	o := &c.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.buf
	o.buf = nil
	c.srv.buffered.Add(-int64(len(b)))
	return b
}

// takePushes puts the messages that wait behind the replies so far, in front of the one under way.
func (c *client) takePushes() {
	if c.outbox.wake != nil {
		c.buf = append(c.buf, c.takeOutbox()...)
	}
}

// busy says whether the client's goroutine is at work. When it is about to wait, it sends what came meanwhile; it reports
// whether the connection is still good.
func (c *client) setBusy(busy bool) bool {
	o := &c.outbox
	if o.wake == nil {
		return true
	}
	for {
		o.mu.Lock()
		if busy || len(o.buf) == 0 {
			o.busy = busy
			o.mu.Unlock()
			return true
		}
		o.mu.Unlock()
		if !c.sendBytes(c.takeOutbox()) {
			return false
		}
	}
}

// pushing sends messages while the client's goroutine waits for input.
func (c *client) pushing() {
	defer close(c.outbox.done)
	for range c.outbox.wake {
		if c.isBusy() {
			continue
		}
		c.outbox.since.Store(max(1, c.srv.sinceStart()))
		ok := c.sendOutbox()
		c.outbox.since.Store(0)
		if !ok {
			c.kill()
			return
		}
	}
}

func (c *client) isBusy() bool {
	c.outbox.mu.Lock()
	defer c.outbox.mu.Unlock()
	return c.outbox.busy
}

// sendOutbox takes and sends under one lock, so that messages of two senders keep their order.
func (c *client) sendOutbox() bool {
	c.outbox.sending.Lock()
	defer c.outbox.sending.Unlock()
	return c.write(c.takeOutbox())
}

func (c *client) sendBytes(b []byte) bool {
	c.outbox.sending.Lock()
	defer c.outbox.sending.Unlock()
	return c.write(b)
}

func (c *client) write(b []byte) bool {
	if c.home.loop != nil {
		n, good := c.tryWrite(b)
		if b = b[n:]; !good || len(b) == 0 {
			return good
		}
		c.leaveLoop()
	}
	return c.writeAll(b)
}

// writeAll waits for the client to take it.
func (c *client) writeAll(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	n, err := c.conn.Write(b)
	c.srv.stats.bytesOut.Add(int64(n))
	if err != nil {
		c.note(err)
	}
	return err == nil
}

// stopPushing ends the second goroutine. The connection is closed already.
func (c *client) stopPushing() {
	o := &c.outbox
	if o.wake == nil {
		return
	}
	o.mu.Lock()
	o.started = false
	close(o.wake)
	o.mu.Unlock()
	<-o.done
	c.takeOutbox()
}

// pushStalled says that the second goroutine waits for the client to read.
func (c *client) pushStalled(now int64) bool {
	since := c.outbox.since.Load()
	return since != 0 && time.Duration(now-since) > c.srv.limits.WriteStall
}
