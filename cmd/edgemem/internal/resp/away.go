package resp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

// A command on a region that has no copy on this node goes to a holder as it came, and its answer comes back as the holder gives it.
//
//	this node   client ─ dispatch ─ ErrNotHeld ─▶ forward ── commands ──▶ fabric.Ask
//	the holder  fabric ─ answer ─▶ a client without a connection ─ drain ─▶ replies
//
// The commands of a pipeline that go to one region travel together, in their order, and so does a transaction, with the state of the keys that are watched. What
// would wait, or be told of later, stays here and is refused.

// awayService is how nodes ask others.
const awayService = "resp"

// The first byte of a request.
const (
	awayRESP3 = 1 << iota
	awayTransaction
)

// awayBytesMax is how much the commands of one request answer.
const awayBytesMax = 24 << 20

// errNoAnswer is of a holder whose answer is none.
var errNoAnswer = errors.New("resp: the holder gave not one reply to each command")

// Words that errors begin with.
const (
	noHolder  = "NOHOLDER "
	uncertain = "UNCERTAIN "
	tryAgain  = "TRYAGAIN "
)

const (
	errAwayWaits = "ERR '%s' waits, and the selected region has no copy on this node: a holder's client can wait"
	errAwayTrack = "ERR the selected region has no copy on this node, and what is read of it cannot be tracked"
	errAwayWatch = "ERR the selected region has no copy on this node, and the holder that answered does not tell the state of keys"
	errAwayOther = "ERR the selected region has no copy on this node, and keys of another one are watched: UNWATCH, and watch in this one alone"
)

// travels says whether a command may be run by a holder in place of this node.
func (cmd *command) travels() bool {
	switch cmd.name {
	case "multi", "exec", "em.watch", "em.token", "em.at", "wait":
		return true
	}
	return cmd.read != nil || cmd.write != nil
}

// failOrForward answers the command that is ready with an error, or has a holder run it if the region has no copy here.
func (c *client) failOrForward(err error) {
	if !errors.Is(err, fabric.ErrNotHeld) || !c.ready {
		c.failWrite(err)
		return
	}
	c.region = nil
	if c.away != nil { // a holder passes nothing on
		c.lose()
		c.finish()
		return
	}
	c.forward()
}

// forward has a holder run the command that is ready, and those behind it that can travel with it.
func (c *client) forward() {
	c.ready = false
	if text := c.staysHere(); text != "" {
		c.fail(text)
		c.finish()
		return
	}
	body, writes := appendCommand([]byte{c.awayFlags()}, c.args), c.cmd.write != nil
	if c.replyOff || c.skipThis || c.skipNext {
		c.ask(body, writes, 1)
		c.finish()
		return
	}
	if !c.settle() { // who waits has the replies before it
		c.closing = true
		return
	}
	from, n := c.head, 1
	for n < runCommandsMax && c.head-from < runBytesMax && len(c.buf) == 0 && !c.closing && c.step() && c.ready {
		if c.cmd.run != nil || c.staysHere() != "" {
			break // it is run after these
		}
		c.ready = false
		body, writes, n = appendCommand(body, c.args), writes || c.cmd.write != nil, n+1
	}
	behind := slices.Clone(c.buf) // what was answered at once
	c.buf = c.buf[:0]
	c.begin()
	c.ask(body, writes, n)
	if len(c.buf) > 0 && c.buf[0] == '-' {
		c.run.failed++
	}
	c.buf = append(c.buf, behind...)
	c.begin()
}

// staysHere says why the command that is ready cannot be run by a holder; empty: it can.
func (c *client) staysHere() string {
	switch {
	case c.cmd.run == nil && c.blocks():
		return fmt.Sprintf(errAwayWaits, c.cmd.name)
	case c.tracked != nil && c.cmd.is&flagWrite == 0:
		return errAwayTrack
	}
	return ""
}

func (c *client) awayFlags() (flags byte) {
	if c.resp3 {
		flags |= awayRESP3
	}
	return flags
}

// appendCommand writes a command as a client does.
func appendCommand(b []byte, args [][]byte) []byte {
	b = append(strconv.AppendInt(append(b, '*'), int64(len(args)), 10), '\r', '\n')
	for _, arg := range args {
		b = append(strconv.AppendInt(append(b, '$'), int64(len(arg)), 10), '\r', '\n')
		b = append(append(b, arg...), '\r', '\n')
	}
	return b
}

// ask has a holder of the selected region run n commands, and appends their replies.
func (c *client) ask(body []byte, writes bool, n int) {
	c.leaveLoop()
	b, source, err := c.srv.cfg.Fabric.Ask(c.srv.ackCtx, fabric.Request{Region: c.labels.region, Service: awayService, Body: body, Write: writes, After: c.watchToken})
	if got, whole := replies(b); err == nil && body[0]&awayTransaction == 0 && (got != n || !whole) {
		if err = errNoAnswer; writes {
			err = fmt.Errorf("%w: %w", fabric.ErrUncertain, err)
		}
	}
	if err == nil {
		c.source = source
		c.watchStale = c.watchStale || c.watchToken != "" && source.Missing > 0
		c.buf = append(c.buf, b...)
		return
	}
	if writes && body[0]&awayTransaction == 0 && errors.Is(err, fabric.ErrNoHolder) {
		if region, gone := c.srv.cfg.Fabric.Region(c.labels.region); gone == nil && region.QueuesWrites() {
			if b, err = c.srv.queueAll(region, body, err); err == nil {
				c.buf = append(c.buf, b...)
				return
			}
		}
	}
	for range n {
		c.fail(errorWord(err) + err.Error())
	}
}

// forwardThis has a holder run one command that touches no entries.
func (c *client) forwardThis() {
	if c.away != nil {
		c.lose()
		return
	}
	if !c.settle() { // who waits has the replies before it
		c.closing = true
		return
	}
	c.begin()
	c.ask(appendCommand([]byte{c.awayFlags()}, c.args), false, 1)
}

// forwardTransaction has a holder run the queue of an EXEC.
func (c *client) forwardTransaction(queue []queued, watches []watched) {
	body, writes := appendCommand([]byte{c.awayFlags() | awayTransaction}, [][]byte{[]byte("multi")}), false
	for _, q := range queue {
		d := c.user.is.Load().check(q.cmd, q.args)
		switch {
		case d.reason != "": // it was queued when the user might
			c.fail(errExecAbort + ": " + d.Error())
			return
		case c.user.is.Load().deniesSort(q.cmd, q.args) != "":
			c.fail(errExecAbort + ": " + c.user.is.Load().deniesSort(q.cmd, q.args))
			return
		case q.cmd.name == "select":
			c.fail(errExecAbort + ": ERR the selected region has no copy on this node, and another one cannot be selected within")
			return
		case !q.cmd.travels():
			c.fail(errExecAbort + ": ERR the selected region has no copy on this node, and '" + q.cmd.name + "' cannot be run at a holder")
			return
		case c.tracked != nil && q.cmd.is&flagWrite == 0:
			c.fail(errExecAbort + ": " + errAwayTrack)
			return
		}
		body, writes = appendCommand(body, q.args), writes || q.cmd.write != nil
	}
	if len(watches) > 0 {
		guard := [][]byte{[]byte("em.watch")}
		for _, w := range watches {
			if w.region.Name() != c.labels.region {
				c.fail(errExecAbort + ": " + errAwayOther)
				return
			}
			guard = append(guard, []byte(w.key), appendPrint(nil, w.print))
		}
		rest := body[len(appendCommand([]byte{0}, [][]byte{[]byte("multi")})):]
		body = append(appendCommand(bytes.Clone(body[:len(body)-len(rest)]), guard), rest...)
	}
	start := len(c.buf)
	c.ask(appendCommand(body, [][]byte{[]byte("exec")}), writes, 1)
	if text := c.buf[start:]; len(text) > 0 && text[0] == '-' {
		return
	}
	oks := "+OK\r\n"
	if len(watches) > 0 {
		oks += oks
	}
	before := append([]byte(oks), bytes.Repeat([]byte("+QUEUED\r\n"), len(queue))...)
	if answer, ok := bytes.CutPrefix(c.buf[start:], before); ok {
		if n, whole := replies(answer); n == 1 && whole {
			c.buf = append(c.buf[:start], answer...)
			return
		}
	}
	c.buf = c.buf[:start] // a command that the holder does not know: then EXEC did nothing there
	c.fail(errExecAbort + ": ERR the holder refuses a command of the queue")
}

// watchAway notes the state of keys at a holder, which EXEC has compared there, in one step with what it does. What the client reads until then comes from
// holders that have all that this one had, or EXEC does nothing.
func (c *client) watchAway() {
	region := c.replica()
	if region == nil {
		return
	}
	if !c.settle() { // who waits has the replies before it
		c.closing = true
		return
	}
	c.begin()
	c.leaveLoop()
	line := append([][]byte{[]byte("em.print")}, c.args[1:]...)
	b, source, err := c.srv.cfg.Fabric.Ask(c.srv.ackCtx, fabric.Request{Region: region.Name(), Service: awayService, Body: appendCommand([]byte{0}, line), Write: true, After: c.watchToken})
	if err != nil {
		c.fail(errorWord(err) + err.Error())
		return
	}
	prints, ok := parsePrints(b, len(c.args)-1)
	if !ok || source.Token == "" {
		c.fail(errAwayWatch)
		return
	}
	if !c.watchKeys(region, func(i int) uint64 { return prints[i] }) {
		return
	}
	if c.watchStale = c.watchStale || source.Missing > 0; c.watchToken == "" {
		c.watchedAt = c.srv.sinceStart()
	}
	c.watchToken, c.source = source.Token, source
	c.ok()
}

// awayWatchMax is how long keys are watched through a holder. EXEC does nothing later.
const awayWatchMax = 10 * time.Minute

func appendPrint(b []byte, print uint64) []byte { return fmt.Appendf(b, "%016x", print) }

// parsePrints reads the answer to EM.PRINT of n keys.
func parsePrints(b []byte, n int) (prints []uint64, ok bool) {
	b, ok = bytes.CutPrefix(b, fmt.Appendf(nil, "*%d\r\n", n))
	for ; ok && len(prints) < n; b = b[23:] {
		if len(b) < 23 || string(b[:5]) != "$16\r\n" || string(b[21:23]) != "\r\n" {
			return nil, false
		}
		print, err := strconv.ParseUint(string(b[5:21]), 16, 64)
		if err != nil {
			return nil, false
		}
		prints = append(prints, print)
	}
	return prints, ok && len(b) == 0
}

// asked is what a client without a connection is for: the commands of another node.
type asked struct {
	writes bool // it may write
	lost   bool // the region has no copy here any more
	ran    int  // commands before that
}

// permits says whether a command may be run for another node.
func (a *asked) permits(c *client, cmd *command) bool {
	return cmd.travels() && (a.writes || cmd.write == nil) && (cmd.is&flagBlocks == 0 || c.tx != nil || cmd.waits != nil && !cmd.waits(c.args))
}

// lose answers a command whose region went away while the commands of a request ran. The first one goes to another holder.
func (c *client) lose() {
	c.ready, c.region, c.away.lost = false, nil, true
	c.fail(tryAgain + "the region has just left the node that answered, send the command again")
}

// answer runs the commands of another node.
func (s *Server) answer(ctx context.Context, q *fabric.Asked, w io.Writer) error {
	if len(q.Body) == 0 {
		return errors.New("resp: an empty request")
	}
	conn := &awayConn{peer: string(q.From)}
	c := newClient(s, conn, s.nextID.Add(1))
	if !s.register(c) {
		return errors.New("resp: the node is closing, or has as many clients as it takes")
	}
	defer s.wg.Done()
	defer c.release()
	c.away = &asked{writes: q.Write}
	c.authed = true
	c.in, c.tail = q.Body, len(q.Body)
	c.head = 1
	c.setProtocol(q.Body[0]&awayRESP3 != 0)
	c.use(q.Region.Name(), nil)
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c.drainAway()
	if c.away.lost && (c.away.ran == 0 || q.Body[0]&awayTransaction != 0) {
		return fabric.ErrNotHeld
	}
	_, err := w.Write(conn.sent)
	return err
}

// drainAway is drain of commands that are all there.
func (c *client) drainAway() {
	c.enter(stateBusy)
	c.turnAt = c.since.Load()
	c.run.begin(c.turnAt)
	for !c.closing && (c.ready || c.step()) {
		c.limitBytes = max(awayBytesMax-len(c.conn.(*awayConn).sent)-len(c.buf), 0)
		switch {
		case c.ready && c.away.lost: // even if the copy came back
			c.begin()
			c.lose()
			c.finish()
		case c.ready:
			c.dispatch()
		}
		if !c.away.lost {
			c.away.ran++
		}
		if !c.relieve() {
			return
		}
	}
	c.settle()
}

// awayConn keeps what is sent.
type awayConn struct {
	peer string
	sent []byte
}

func (a *awayConn) Read([]byte) (int, error) { return 0, io.EOF }

func (a *awayConn) Write(b []byte) (int, error) {
	a.sent = append(a.sent, b...)
	return len(b), nil
}

func (a *awayConn) Close() error                     { return nil }
func (a *awayConn) LocalAddr() net.Addr              { return awayAddr(a.peer) }
func (a *awayConn) RemoteAddr() net.Addr             { return awayAddr(a.peer) }
func (a *awayConn) SetDeadline(time.Time) error      { return nil }
func (a *awayConn) SetReadDeadline(time.Time) error  { return nil }
func (a *awayConn) SetWriteDeadline(time.Time) error { return nil }

// awayAddr is the address of a client at another node: that node's id.
type awayAddr string

func (a awayAddr) Network() string { return "edgemem" }
func (a awayAddr) String() string  { return string(a) }

// tellSource is EM.SOURCE.
func tellSource(c *client) {
	s := c.source
	region, err := c.srv.cfg.Fabric.Region(c.labels.region)
	if err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	here := region.Held()
	if here {
		s = c.srv.here(region)
	}
	c.mapOf(7)
	c.bulkString("here")
	c.bool01(here)
	for _, pair := range [][2]string{{"id", string(s.Holder.ID)}, {"name", s.Holder.Name}, {"tier", s.Holder.Tier}} {
		c.bulkString(pair[0])
		c.bulkString(pair[1])
	}
	c.bulkString("complete-up-to-ms")
	if s.UpTo.IsZero() {
		c.null()
	} else {
		c.int(s.UpTo.UnixMilli())
	}
	c.bulkString("dark")
	c.int(int64(s.Dark))
	c.bulkString("missing")
	c.int(int64(s.Missing))
}

// here describes this node's copy as a source.
func (s *Server) here(region *fabric.Region) (out fabric.Source) {
	status, err := s.cfg.Fabric.RegionStatus(region.Name())
	if err == nil {
		out.UpTo, out.Dark = status.Complete.UpTo, len(status.Complete.Dark)
	}
	node := s.cfg.Fabric.Node()
	out.Holder = fabric.Holder{ID: node, Name: s.cfg.NodeName}
	for _, h := range status.Holders {
		if h.ID == node {
			out.Holder = h
		}
	}
	return out
}
