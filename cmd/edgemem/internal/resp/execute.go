package resp

import (
	"errors"
	"strings"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Texts that more than one command answers with, as Redis words them.
const (
	errSyntax     = "ERR syntax error"
	errNotInteger = "ERR value is not an integer or out of range"
	errNotFloat   = "ERR value is not a valid float"
	errWrongType  = "WRONGTYPE Operation against a key holding the wrong kind of value"
	errNoAuth     = "NOAUTH Authentication required."
)

// prepare looks up and checks the command in c.args: either it may run, or it is answered.
func (c *client) prepare() {
	c.begin()
	c.skipThis, c.skipNext = c.skipNext, false
	cmd := c.lookup()
	if cmd == nil {
		c.breakTransaction()
		c.suppress()
		return
	}
	c.switchTo(cmd)
	c.ready = c.permitted(cmd)
	switch {
	case !c.ready:
		c.breakTransaction()
	case c.queues(cmd):
		c.ready = false
		c.enqueue(cmd)
	default:
		if cmd.name != "exec" { // it is shown behind what it runs
			c.show(cmd)
		}
		return
	}
	c.finish()
}

// lookup finds the command or subcommand, or answers that there is none.
func (c *client) lookup() *command {
	name := c.args[0]
	cmd := c.srv.table.find(name)
	if cmd == nil {
		c.unknown(name)
		return nil
	}
	if cmd.subs == nil || len(c.args) == 1 {
		return cmd
	}
	sub := cmd.sub(c.args[1])
	if sub == nil {
		c.srv.stats.unknown.Add(1)
		c.fail("ERR unknown subcommand '" + cut(c.args[1]) + "'. Try " + strings.ToUpper(cmd.name) + " HELP.")
	}
	return sub
}

// switchTo makes cmd the one under way. The clock is read only when the command differs from the one
// before, so that a pipeline of one kind costs two readings.
func (c *client) switchTo(cmd *command) {
	if cmd != c.cmd {
		c.cmd = cmd
		c.lastCmd.Store(cmd)
	}
	if c.run.cmd != cmd {
		c.run.flush(&c.srv.stats, c.srv.sinceStart())
		c.run.cmd = cmd
	}
	c.run.calls++
}

// permitted checks what the table says of the command, in Redis's order.
func (c *client) permitted(cmd *command) bool {
	switch {
	case cmd.refusal != "":
		c.reject("ERR '" + cmd.name + "' not supported by edgemem: " + cmd.refusal)
	case !cmd.takes(len(c.args)):
		c.reject("ERR wrong number of arguments for '" + cmd.name + "' command")
	case !c.authed && cmd.is&flagNoAuth == 0:
		c.reject(errNoAuth)
	case c.away == nil && !c.allowed(cmd): // another node's users are that one's to judge
	case !c.resp3 && cmd.is&flagSubscriber == 0 && c.subs.any():
		c.reject("ERR Can't execute '" + cmd.name + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
	case c.tx != nil && cmd.is&flagNoMulti != 0:
		c.reject("ERR Command not allowed inside a transaction")
	case c.away != nil && !c.away.permits(c, cmd):
		c.reject("ERR '" + cmd.name + "' is not run for another node")
	default:
		return cmd.is&flagWrite == 0 || c.keysFit(cmd)
	}
	return false
}

// reject answers a command that is not run.
func (c *client) reject(text string) {
	c.run.rejected++
	if c.cmd.name == "exec" { // in Redis it ends the transaction, if there is one
		c.endTransaction()
		text = errExecAbort + ": " + strings.TrimPrefix(text, "ERR ")
	}
	c.fail(text)
}

// keysFit refuses keys that no region can store, before anything is written.
func (c *client) keysFit(cmd *command) bool {
	last := cmd.keys.last
	if last < 0 {
		last += len(c.args)
	}
	for i := cmd.keys.first; i > 0 && i <= last; i += cmd.keys.step {
		if n := len(c.args[i]); n > crdt.MaxKeyBytes {
			c.reject(tooLong("a key", n, crdt.MaxKeyBytes))
			return false
		}
	}
	return true
}

// dispatch runs the command that is ready, and with it those behind it that the same View or Apply can
// serve: a pipeline then costs the region's lock once.
func (c *client) dispatch() {
	if c.cmd.run != nil {
		c.ready = false
		c.cmd.run(c)
		c.finish()
		for _, commit := range c.execCommits {
			c.pending = append(c.pending, pendingAck{commit, c.start, len(c.buf)})
		}
		clear(c.execCommits)
		c.execCommits = c.execCommits[:0]
		return
	}
	if c.blocks() {
		c.mayWait(c.dispatchEntries)
		return
	}
	c.dispatchEntries()
}

// dispatchEntries is dispatch of what reads or writes entries.
func (c *client) dispatchEntries() {
	if c.unreached != nil {
		c.queueThis()
		return
	}
	region, err := c.currentRegion()
	switch {
	case err != nil:
		c.failOrForward(err)
	case !region.Held():
		c.failOrForward(fabric.ErrNotHeld)
	case c.cmd.read != nil:
		missed, err := region.ViewLazily(c.viewFn)
		if err != nil {
			c.failOrForward(err)
			return
		}
		c.again = missed && c.ready
	default:
		c.apply(region)
	}
}

// A run of commands under one lock is bounded, so that others get their turn.
const (
	runCommandsMax = 64
	runBytesMax    = 64 << 10 // of query buffer
)

// readRun runs the command that is ready and the reads that follow it. One that needs a value which is on disk ends the run, and is run again
// when that was read without the region's lock.
func (c *client) readRun(v *crdt.View) {
	from := c.head
	if c.again { // replies may have left meanwhile
		c.begin()
	}
	for n := 1; ; n++ {
		if n%crdt.WarmMax == 1 {
			c.warm(v, false)
		}
		c.ready = false
		hits, misses := c.run.hits, c.run.misses
		v.Lazy(!c.again)
		c.cmd.read(c, v)
		if c.again = false; v.Missed() {
			c.undo()
			c.ready, c.overflowed, c.run.hits, c.run.misses = true, false, hits, misses
			return
		}
		c.tellUnread(v)
		c.trackReads(v)
		c.finish()
		if !c.goesOn(n, from) || c.cmd.read == nil {
			return
		}
	}
}

// tellUnread answers a command whose value is on disk and cannot be read.
func (c *client) tellUnread(v *crdt.View) {
	err := v.TakeErr()
	if err == nil {
		return
	}
	if c.region != nil {
		c.region.NoteUnreadable(err)
	}
	c.undo()
	c.overflowed = false
	c.fail("MISCONF " + err.Error())
}

// writeRun runs the command that is ready and the writes that follow it: one delta group.
func (c *client) writeRun(tx *crdt.Tx) error {
	from := c.head
	for n := 1; ; n++ {
		if n%crdt.WarmMax == 1 {
			c.warm(&tx.View, true)
		}
		c.ready = false
		c.runWrite(tx)
		c.tellUnread(&tx.View)
		c.finish()
		c.serveWaiting(tx)
		if c.durable {
			c.pending = append(c.pending, pendingAck{start: c.start, end: len(c.buf)})
		}
		if !c.goesOn(n, from) || c.cmd.write == nil || c.blocks() || c.shrinking && c.cmd.is&flagDenyOOM != 0 {
			return nil
		}
	}
}

// goesOn takes the next command into a run of n that began at from, and says whether it may run.
func (c *client) goesOn(n, from int) bool {
	return n < runCommandsMax && c.waiter == nil && c.head-from < runBytesMax && len(c.buf) < settleBytes && !c.closing && c.step() && c.ready
}

// apply runs writes and notes what their replies must wait for.
func (c *client) apply(region *fabric.Region) {
	first := len(c.pending)
	c.durable = region.Ack() != fabric.AckMemory
	apply := region.Apply
	if c.shrinking = c.cmd.is&flagDenyOOM == 0; c.shrinking {
		apply = region.ApplyShrinking
	}
	commit, err := apply(c.applyFn)
	c.deliverServed(commit, err)
	if err != nil && c.ready {
		c.failOrForward(err)
		return
	}
	for i := first; i < len(c.pending); i++ {
		c.pending[i].commit = commit
	}
}

// failWrite answers the command that is ready with what the fabric says against it. The next command
// looks the region up again: it may have been deleted meanwhile.
func (c *client) failWrite(err error) {
	c.ready, c.region = false, nil
	c.fail(errorWord(err) + err.Error())
	c.finish()
}

// errorWord is what an error reply begins with; clients of Redis know these.
func errorWord(err error) string {
	switch {
	case errors.Is(err, fabric.ErrLoading):
		return "LOADING " // they try again
	case errors.Is(err, fabric.ErrDiskFull):
		return "MISCONF " // what Redis says when it cannot write to its disk
	case errors.Is(err, fabric.ErrMemoryFull), errors.Is(err, fabric.ErrQuota):
		return "OOM "
	case errors.Is(err, fabric.ErrNotMerged):
		return "NOREPLICAS " // what Redis says when too few of them are there
	case errors.Is(err, fabric.ErrUncertain):
		return uncertain
	case errors.Is(err, fabric.ErrNoHolder), errors.Is(err, fabric.ErrNotHeld):
		return noHolder
	default:
		return "ERR "
	}
}

// finish closes the reply of a command from the table.
func (c *client) finish() {
	if c.overflowed {
		c.undo()
		c.failf("ERR the reply is larger than %d bytes; read it in parts with SCAN, SSCAN, HSCAN or COUNT", c.limitBytes)
	}
	if len(c.buf) > c.start && c.buf[c.start] == '-' {
		c.run.failed++
	}
	c.suppress()
	if c.cache != cacheByMode && c.tx == nil && !strings.HasPrefix(c.cmd.name, "client|") {
		c.cache = cacheByMode
	}
}

// suppress takes the reply back where CLIENT REPLY said so.
func (c *client) suppress() {
	if c.replyOff || c.skipThis || c.skipNext {
		c.undo()
	}
}

// unknownBytesMax bounds the part of an unknown command that its error repeats, as in Redis.
const unknownBytesMax = 128

// unknown answers a name that the table does not have.
func (c *client) unknown(name []byte) {
	c.srv.stats.unknown.Add(1)
	if isBrowser(name) {
		c.srv.log.Warn("resp: closing a client that speaks HTTP: a web page may be trying to reach this server", "addr", c.addr)
		c.closing = true
		return
	}
	var args strings.Builder
	for _, arg := range c.args[1:] {
		if args.Len() >= unknownBytesMax {
			break
		}
		args.WriteString("'" + upTo(arg, unknownBytesMax-args.Len()) + "' ")
	}
	c.fail("ERR unknown command '" + cut(name) + "', with args beginning with: " + args.String())
}

func cut(b []byte) string { return upTo(b, unknownBytesMax) }

// upTo is what C's %.*s prints: at most n bytes, and none from a zero byte on.
func upTo(b []byte, n int) string { return cText(b[:min(len(b), n)]) }

// cText is what C's %s prints: everything before the first zero byte.
func cText(b []byte) string {
	text, _, _ := strings.Cut(string(b), "\x00")
	return text
}
