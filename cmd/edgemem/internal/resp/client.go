package resp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/tidwall/redcon"
)

// client is one connection. Its goroutine, or that of its loop, reads commands into in, runs them, collects replies in out,
// and sends those once what was written is acknowledged. Only the fields of the second group are seen
// by others.
type client struct {
	srv   *Server
	conn  net.Conn
	guard guard
	home  home

	in         []byte // query buffer; in[head:tail] is not run yet
	head, tail int
	args       [][]byte // of the command under way; views into in
	cmd        *command // under way, or the last one
	ready      bool     // cmd may run, and has not yet
	again      bool     // it has run, and its value was on disk: now it reads it there

	writer                    // replies not sent yet
	shrinking  bool           // the run under way is of commands that only remove
	durable    bool           // the region of the run under way acknowledges from disk
	pending    []pendingAck   // writes among them that wait for their acknowledgement
	region     *fabric.Region // nil until the first command that needs one, unless selected
	applyFn    func(tx *crdt.Tx) error
	monitoring bool      // MONITOR is on
	executing  bool      // an EXEC is under way: nothing waits
	trimmed    bool      // the XADD under way has trimmed
	parked     bool      // the command under way, or run in this client's place, has found nothing
	waiter     *waiter   // since then
	served     []*waiter // of other clients, by the Apply under way
	viewFn     func(v *crdt.View)

	away      *asked        // nil: it has a connection
	unreached error         // why its writes are to wait: no holder is reached; nil: they are not
	source    fabric.Source // of the last answer of a holder

	subs    subscriptions
	tracked *tracked // nil: CLIENT TRACKING is off
	cache   cacheNext
	outbox  outbox

	places      places       // of streams that it reads
	tx          *transaction // between MULTI and EXEC
	watches     []watched
	watchedAt   int64  // on the server's clock, when a holder was asked for the state of watched keys; belongs to watches
	watchToken  string // of what it had then; empty: none was asked
	watchStale  bool   // one that lacks some of that has answered since
	watchBytes  int
	turnAt      int64           // when the turn under way began, on the server's clock
	execCommits []fabric.Commit // of the EXEC under way

	user     *account
	authed   bool
	closing  bool // after the replies so far
	replyOff bool // CLIENT REPLY OFF
	skipNext bool // CLIENT REPLY SKIP, said by the command under way
	skipThis bool // and in force for this one
	noEvict  bool
	noTouch  bool
	run      run // statistics of the commands just run

	id      int64
	addr    string
	laddr   string
	created time.Time
	held    atomic.Int64 // bytes of the buffers that are charged to Server.buffered
	since   atomic.Int64 // when state began, on the server's clock
	state   atomic.Int32
	lastCmd atomic.Pointer[command]
	mu      sync.Mutex // guards labels
	labels  labels
}

// labels are what CLIENT LIST tells of a client beyond counters.
type labels struct {
	name, libName, libVersion string
	region, user              string
	resp3                     bool
	listens                   [channelKinds]int
	waiter                    *waiter
}

// Buffers start small, since most clients are idle, grow with what a client sends, and go back when they
// have passed what is kept.
const (
	bufferStart = 4 << 10
	bufferKept  = 64 << 10
)

// settleBytes is how much reply collects before it is sent although more commands wait.
const settleBytes = 256 << 10

func newClient(s *Server, conn net.Conn, id int64) *client {
	c := &client{
		srv: s, conn: conn, id: id, addr: addrText(conn.RemoteAddr()), laddr: addrText(conn.LocalAddr()),
		in: make([]byte, bufferStart), created: time.Now(),
	}
	c.guard.limits = &s.limits
	c.limitBytes = s.limits.ReplyBytes
	c.labels.region = defaultRegion
	c.beDefault()
	c.places.most = placesBytesClient
	// Bound once: a closure for each run would be an allocation for each run.
	c.applyFn, c.viewFn = c.writeRun, c.readRun
	return c
}

func addrText(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// kill ends the connection under whoever serves it, who then lets it go.
func (c *client) kill() {
	if !c.home.half {
		_ = c.conn.Close()
		return
	}
	c.stopReading()
	_ = c.conn.(interface{ CloseWrite() error }).CloseWrite()
}

// stopReading has whoever waits for the client's commands hear that there are no more.
func (c *client) stopReading() {
	if c.home.half {
		_ = c.conn.(interface{ CloseRead() error }).CloseRead()
	}
}

// serve is the connection's goroutine.
func (c *client) serve() {
	defer c.release()
	c.enter(stateIdle)
	for !c.closing && c.setBusy(false) {
		n, err := c.conn.Read(c.in[c.tail:])
		c.setBusy(true)
		c.takePushes() // they were sent before whatever is answered now
		c.tail += n
		c.srv.stats.bytesIn.Add(int64(n))
		if n > 0 && !(c.work() && c.settle() && c.endTurn()) {
			return
		}
		if err != nil {
			c.note(err)
			return
		}
	}
}

// note logs why a connection ended, unless it ended as connections do.
func (c *client) note(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	c.srv.log.Debug("resp: connection lost", "client", c.id, "addr", c.addr, "err", err)
}

func (c *client) release() {
	c.srv.buffered.Add(-c.held.Swap(0))
	c.leaveAll()
	c.untrackAll()
	c.endMonitoring()
	c.srv.unregister(c) // before its client can know that the connection has ended
	_ = c.conn.Close()
	c.stopPushing()
}

// letGo is release for a connection that is served by a loop.
func (c *client) letGo() {
	c.release()
	c.srv.wg.Done()
}

// work runs every whole command in the query buffer. Its replies are there; much of it is sent. It reports whether the
// connection goes on.
func (c *client) work() bool {
	c.enter(stateBusy)
	c.turnAt = c.since.Load()
	c.run.begin(c.turnAt)
	for !c.closing && (c.ready || c.step()) {
		if c.ready {
			c.dispatch()
		}
		if c.waiter != nil && !c.wait() {
			return false
		}
		if !c.relieve() {
			return false
		}
	}
	return true
}

// endTurn readies the client for what it sends next, when the replies are sent. It reports whether the connection goes on.
func (c *client) endTurn() bool {
	if c.head == c.tail {
		c.state.Store(int32(stateIdle))
	} else {
		c.state.Store(int32(statePartial))
	}
	return !c.closing && c.makeRoom()
}

// relieve sends what has collected when it is much, although more commands wait.
func (c *client) relieve() bool {
	if len(c.pending) >= acksMax {
		c.await(c.srv.sinceStart())
	}
	if len(c.buf) < settleBytes {
		return true
	}
	ok := c.settle()
	c.turnAt = c.srv.sinceStart()
	c.run.begin(c.turnAt)
	return ok
}

// step takes the next command off the query buffer and checks it: c.ready then says whether it may run;
// if not, it was answered. step reports false when no whole command is there.
func (c *client) step() bool {
	size, err := c.guard.next(c.in[c.head:c.tail], !c.authed)
	if err != nil {
		c.protocolFault(err)
		return false
	}
	if size == 0 {
		return false
	}
	frame := c.in[c.head : c.head+size]
	inline, empty := c.guard.form == formInline, c.guard.args == 0
	c.head += size
	c.guard.reset()
	if !inline && empty {
		return true
	}
	if err := c.split(frame, inline); err != nil {
		c.protocolFault(err)
		return false
	}
	if len(c.args) > 0 {
		c.prepare()
	}
	return true
}

// split cuts one whole command into arguments.
func (c *client) split(frame []byte, inline bool) (err error) {
	if inline {
		c.args, err = splitInline(frame, c.args[:0])
		return err
	}
	_, c.args, _, _, err = redcon.ReadNextCommand(frame, c.args[:0])
	return err
}

// protocolFault answers what cannot be parsed and ends the connection.
func (c *client) protocolFault(err error) {
	c.srv.stats.protocolErrors.Add(1)
	c.begin()
	c.fail("ERR " + err.Error())
	c.closing = true
}

// makeRoom readies the query buffer for the next read: what is left moves to the front, and a buffer
// that is full doubles. It reports false if the server's budget for buffers does not allow that.
func (c *client) makeRoom() bool {
	left := c.tail - c.head
	grow := left == len(c.in) || (c.tail == len(c.in) && len(c.in) < bufferKept)
	switch {
	case grow:
		next := make([]byte, 2*len(c.in))
		copy(next, c.in[c.head:c.tail])
		c.in = next
	case left == 0 && len(c.in) > bufferKept:
		c.in, c.args = make([]byte, bufferStart), nil
	default:
		copy(c.in, c.in[c.head:c.tail])
	}
	c.head, c.tail = 0, left
	return c.charge()
}

// charge settles what this client's buffers take of the budget that all clients share.
func (c *client) charge() bool {
	args := 3 * 8 * max(cap(c.args), c.guard.args)
	want := int64(max(0, len(c.in)+cap(c.buf)+args-bufferKept)) + c.heldBeside()
	have := c.held.Load()
	if want == have {
		return true
	}
	c.held.Store(want)
	total := c.srv.buffered.Add(want - have)
	if want < have || total <= c.srv.limits.BufferedBytes {
		return true
	}
	c.srv.stats.overBudget.Add(1)
	c.srv.log.Warn("resp: closing a client, the buffers of all clients are at their limit",
		"client", c.id, "addr", c.addr, "bytes", want, "limit", c.srv.limits.BufferedBytes)
	_ = c.conn.SetWriteDeadline(time.Now().Add(turnAwayWait))
	_, _ = c.conn.Write([]byte("-ERR the buffers of all clients are at their limit, try again later\r\n"))
	return false
}

// heldBeside is what the client holds beside its buffers.
func (c *client) heldBeside() int64 {
	held := c.watchBytes + c.subs.bytes + c.places.held()
	if c.tx != nil {
		held += c.tx.bytes
	}
	return int64(held)
}

// send writes the collected replies out. It reports whether the connection is still good.
func (c *client) send() bool {
	if len(c.buf) == 0 {
		return true
	}
	c.state.Store(int32(stateWriting))
	if !c.sendBytes(c.buf) {
		return false
	}
	c.forgetReplies()
	return true
}

// forgetReplies lets go of replies that were sent.
func (c *client) forgetReplies() {
	if cap(c.buf) > bufferKept {
		c.buf = nil
	}
	c.buf = c.buf[:0]
}

// isBrowser recognises the first words of an HTTP request, by which a web page can reach a local port.
func isBrowser(name []byte) bool {
	return bytes.EqualFold(name, []byte("post")) || bytes.EqualFold(name, []byte("host:"))
}
