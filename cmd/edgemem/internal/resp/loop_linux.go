package resp

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// loopEvents is how many connections that have sent something a loop learns of at once.
	loopEvents = 128
	// turnMax is how long a turn may take before the loop goes on without it: it is noticed between one and two times that.
	turnMax = 5 * time.Millisecond
)

// loop serves connections by epoll.
type loop struct {
	srv   *Server
	epoll int
	file  *os.File        // of epoll, by which
	ready syscall.RawConn // the runtime waits for it

	// Of the runner.
	events [loopEvents]unix.EpollEvent
	left   []unix.EpollEvent // not taken yet
	waitFn func(fd uintptr) bool

	mu      sync.Mutex
	clients map[int32]*client // by file descriptor
	runner  uint64            // counts them: an earlier one has left the loop
	current *client           // whose turn it is
	turns   uint64
	watched uint64 // turns when the watch looked last
	watching,
	closed bool
	watch   *time.Timer
	aside   []*client // until the events at hand are through, then
	acks    []*client // until the disk has what they wrote
	ackTurn *sync.Cond
}

func newLoop(s *Server) (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("resp: epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("resp: epoll: %w", err)
	}
	l := &loop{srv: s, epoll: fd, file: os.NewFile(uintptr(fd), "epoll"), clients: map[int32]*client{}}
	if l.ready, err = l.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("resp: epoll: %w", err)
	}
	l.waitFn = l.poll
	l.ackTurn = sync.NewCond(&l.mu)
	l.watch = time.AfterFunc(time.Hour, l.look)
	l.watch.Stop()
	return l, nil
}

// close ends the loop, which has no connections any more.
func (l *loop) close() {
	l.mu.Lock()
	l.closed = true
	l.watch.Stop()
	l.ackTurn.Broadcast()
	l.mu.Unlock()
	_ = l.file.Close()
}

// rawIO reads and writes without waiting.
type rawIO struct {
	fd      int32
	conn    syscall.RawConn
	n       int
	err     error
	out     []byte
	readFn  func(fd uintptr) bool
	writeFn func(fd uintptr) bool
}

// join gives a new connection to a loop. It reports false for one that no loop can serve.
func (c *client) join() bool {
	s, ok := c.conn.(interface {
		syscall.Conn
		CloseRead() error
		CloseWrite() error
	})
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	l, io := c.srv.loops.choose(c.srv), &c.home.io
	if l == nil || raw.Control(func(fd uintptr) { io.fd = int32(fd) }) != nil {
		return false
	}
	io.conn, io.readFn, io.writeFn = raw, c.readNow, c.writeNow
	c.home.loop, c.home.half = l, true
	return true
}

// listen begins to serve a connection that has joined.
func (l *loop) listen(c *client) {
	l.mu.Lock()
	l.clients[c.home.io.fd] = c
	err := l.control(unix.EPOLL_CTL_ADD, c)
	if err != nil {
		delete(l.clients, c.home.io.fd)
	}
	l.mu.Unlock()
	if err != nil {
		c.note(err)
		c.letGo()
	}
}

func (l *loop) control(op int, c *client) error {
	fd := int(c.home.io.fd)
	err := unix.EpollCtl(l.epoll, op, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)})
	if err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// run takes turns until another runner has taken over, or the loop is closed.
func (l *loop) run(me uint64) {
	for {
		ev, ok := l.next()
		if !ok {
			return
		}
		c := l.begin(ev)
		if c == nil {
			continue
		}
		if !l.end(c, me, c.turn()) {
			return
		}
	}
}

// next gives the next event.
func (l *loop) next() (ev unix.EpollEvent, ok bool) {
	for len(l.left) == 0 {
		l.handOver()
		if err := l.ready.Read(l.waitFn); err != nil {
			return ev, false
		}
	}
	ev = l.left[0]
	l.left = l.left[1:]
	return ev, true
}

// poll looks for events; the runtime waits for them where there are none.
func (l *loop) poll(uintptr) bool {
	n, err := unix.EpollWait(l.epoll, l.events[:], 0)
	if err != nil && err != unix.EINTR {
		l.srv.log.Error("resp: an event loop cannot wait", "err", err)
		return true
	}
	l.left = l.events[:max(n, 0)]
	return n > 0
}

// handOver lets the replies that were put aside wait for the disk. All that came at once share a commit.
func (l *loop) handOver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.aside) > 0 {
		l.acks = append(l.acks, l.aside...)
		clear(l.aside)
		l.aside = l.aside[:0]
		l.ackTurn.Signal()
	}
}

// takeAside waits for connections that were put aside; nil: the loop is closed.
func (l *loop) takeAside() []*client {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.acks) == 0 && !l.closed {
		l.ackTurn.Wait()
	}
	batch := l.acks
	l.acks = nil
	return batch
}

// begin begins a turn, or gives nil where the event is for nobody.
func (l *loop) begin(ev unix.EpollEvent) *client {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[ev.Fd]
	switch {
	case c == nil:
		return nil
	case c.home.away: // it would be reported again and again
		if !c.home.deaf {
			c.home.deaf = l.control(unix.EPOLL_CTL_DEL, c) == nil
		}
		return nil
	}
	l.turns++
	l.current = c
	if !l.watching {
		l.watching, l.watched = true, l.turns-1
		l.watch.Reset(turnMax)
	}
	return c
}

// end ends a turn. It reports whether this goroutine still runs the loop.
func (l *loop) end(c *client, me uint64, how outcome) (mine bool) {
	l.mu.Lock()
	if mine = l.runner == me; mine {
		l.current = nil
	}
	l.mu.Unlock()
	if how != turnAside {
		l.takeBack(c, how == turnOver)
	}
	return mine
}

// takeBack listens to a connection again, which no goroutine has any more, or lets it go.
func (l *loop) takeBack(c *client, good bool) {
	if good && c.outbox.wake == nil && l.comeHome(c) {
		return
	}
	l.mu.Lock()
	delete(l.clients, c.home.io.fd)
	if good && !c.home.deaf {
		_ = l.control(unix.EPOLL_CTL_DEL, c)
	}
	l.mu.Unlock()
	if !good {
		c.letGo()
		return
	}
	c.home.loop = nil
	go func() { // counted when it was registered
		defer c.srv.wg.Done()
		c.serve()
	}()
}

func (l *loop) comeHome(c *client) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.home.deaf {
		if l.control(unix.EPOLL_CTL_ADD, c) != nil {
			return false
		}
		c.home.deaf = false
	}
	c.home.away = false
	return true
}

// pass lets another goroutine run the loop. The caller holds mu.
func (l *loop) pass() {
	l.runner++
	l.current = nil
	me := l.runner
	l.srv.loops.running.Go(func() { l.run(me) })
}

// look is the watch: a turn that was under way when it looked last, and still is, goes on alone.
func (l *loop) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return
	case l.turns != l.watched:
		l.watched = l.turns
	case l.current == nil: // nothing has happened meanwhile
		l.watching = false
		return
	default:
		l.current.home.away = true
		l.pass()
	}
	l.watch.Reset(turnMax)
}

// turn reads what the client has sent, runs it and replies.
func (c *client) turn() outcome {
	if c.srv.cfg.Fabric.Slowing() {
		c.leaveLoop()
	}
	n, err := c.tryRead()
	c.tail += n
	c.srv.stats.bytesIn.Add(int64(n))
	switch {
	case err != nil:
		c.note(err)
		return turnLost
	case n == 0:
		return turnOver
	case !c.work():
		return turnLost
	case c.putAside():
		return turnAside
	case !c.settle() || !c.endTurn():
		return turnLost
	}
	return turnOver
}

// tryRead reads what is there.
func (c *client) tryRead() (int, error) {
	h := &c.home.io
	h.n, h.err = 0, nil
	if err := h.conn.Read(h.readFn); err != nil {
		return 0, err
	}
	switch {
	case h.err == unix.EAGAIN || h.err == unix.EINTR:
		return 0, nil
	case h.err != nil:
		return 0, os.NewSyscallError("read", h.err)
	case h.n == 0:
		return 0, io.EOF
	}
	return h.n, nil
}

func (c *client) readNow(fd uintptr) bool {
	c.home.io.n, c.home.io.err = unix.Read(int(fd), c.in[c.tail:])
	c.home.io.n = max(c.home.io.n, 0)
	return true
}

// tryWrite writes as much as the system takes now.
func (c *client) tryWrite(b []byte) (n int, good bool) {
	h := &c.home.io
	if h.conn == nil || len(b) == 0 {
		return 0, true
	}
	h.n, h.err, h.out = 0, nil, b
	err := h.conn.Write(h.writeFn)
	h.out = nil
	if err == nil && h.err != nil && h.err != unix.EAGAIN && h.err != unix.EINTR {
		err = os.NewSyscallError("write", h.err)
	}
	c.srv.stats.bytesOut.Add(int64(h.n))
	if err != nil {
		c.note(err)
	}
	return h.n, err == nil
}

func (c *client) writeNow(fd uintptr) bool {
	c.home.io.n, c.home.io.err = unix.Write(int(fd), c.home.io.out)
	c.home.io.n = max(c.home.io.n, 0)
	return true
}
