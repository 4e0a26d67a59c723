package resp

import (
	"runtime"
	"sync"
)

// Most connections are served by loops, not by goroutines of their own: what a wake, a park and a read that finds nothing cost is more
// than what most commands do. A loop waits for all its connections at once, and one goroutine, the runner, takes the turns of
// those that have sent something: read, run, reply.
//
// A turn that would wait leaves the loop: the runner stays with it, as a goroutine of the connection alone, and another takes over
// the loop (leaveLoop). So it is where a client does not read its replies, where a command blocks or where another node is waited for. A
// turn that takes long without having said so is noticed by a watch, which does the same. Where replies wait for the disk alone, the
// connection is put aside, and one goroutine sends the replies of all that a commit carried.
//
//	runner ── turn ──▶ reply, next
//	           ├─ would wait, or takes long ─▶ goes on alone ──────────▶ home
//	           └─ writes wait for the disk ──▶ acknowledger: commit, reply ─▶ home
//
// Connections that get messages without asking (subscribers, MONITOR, CLIENT TRACKING) have goroutines of their own, as all have where
// the system has no loops (loop_other.go).

// loopsMax bounds the loops. There is one for every second processor: two that write to one region wait for each other.
const loopsMax = 16

// loops are those of a server.
type loops struct {
	all     []*loop
	running sync.WaitGroup

	// Of the accepting goroutine.
	opened bool
	next   int
}

// open starts the loops, where the system has them.
func (ls *loops) open(s *Server) {
	ls.opened = true
	for range min(max(runtime.GOMAXPROCS(0)/2, 1), loopsMax) {
		l, err := newLoop(s)
		if err != nil {
			s.log.Debug("resp: no event loops, each client gets a goroutine", "err", err)
			return
		}
		ls.all = append(ls.all, l)
		ls.running.Go(func() { l.run(0) })
		ls.running.Go(l.acknowledge)
	}
}

func (ls *loops) close() {
	for _, l := range ls.all {
		l.close()
	}
	ls.running.Wait()
}

// choose gives the loop of the next connection, or nil. The first one that a loop can serve starts them.
func (ls *loops) choose(s *Server) *loop {
	if !ls.opened {
		ls.open(s)
	}
	if len(ls.all) == 0 {
		return nil
	}
	ls.next++
	return ls.all[ls.next%len(ls.all)]
}

// home is a client's place in a loop.
type home struct {
	loop *loop // nil: it has a goroutine of its own
	io   rawIO
	half bool // its connection can be closed without letting go of the file descriptor

	// Of loop.mu.
	away bool // a goroutine other than the runner has it
	deaf bool // the loop does not listen to it meanwhile
}

// outcome is what came of a turn.
type outcome uint8

const (
	turnOver  outcome = iota
	turnLost          // the connection is to be closed
	turnAside         // its replies wait for the disk: it is another's
)

// leaveLoop says that the turn under way is going to wait: it goes on in this goroutine, and another one runs the loop.
func (c *client) leaveLoop() {
	l := c.home.loop
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.home.away {
		c.home.away = true
		l.pass()
	}
}

// putAside lets replies that wait for the disk alone be sent when it has them. It reports whether they will be.
func (c *client) putAside() bool {
	l := c.home.loop
	if l == nil || len(c.pending) == 0 {
		return false
	}
	for i := range c.pending {
		if c.pending[i].commit.AwaitsOthers() {
			return false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.home.away {
		return false
	}
	c.beforeAck()
	c.home.away = true
	l.aside = append(l.aside, c)
	return true
}

// acknowledge sends the replies of connections that were put aside, commit after commit.
func (l *loop) acknowledge() {
	for batch := l.takeAside(); batch != nil; batch = l.takeAside() {
		for _, c := range batch {
			c.await(c.since.Load())
			l.resume(c)
		}
	}
}

// resume sends the replies of a connection that was put aside and takes it back. It does not wait for the client.
func (l *loop) resume(c *client) {
	good := c.charge()
	n := 0
	if good {
		n, good = c.tryWrite(c.buf)
	}
	if rest := c.buf[n:]; good && len(rest) > 0 {
		l.srv.loops.running.Go(func() { l.takeBack(c, c.writeAll(rest) && c.afterSend()) })
		return
	}
	l.takeBack(c, good && c.afterSend())
}

// afterSend ends a turn whose replies were sent.
func (c *client) afterSend() bool {
	c.forgetReplies()
	return c.endTurn()
}
