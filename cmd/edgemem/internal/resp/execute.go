package resp

import (
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

// execute runs one command: c.args has at least its name.
func (c *client) execute() {
	c.begin()
	c.skipThis, c.skipNext, c.waits = c.skipNext, false, false
	if cmd := c.lookup(); cmd != nil {
		c.switchTo(cmd)
		if c.permitted(cmd) {
			c.dispatch(cmd)
		}
		if len(c.buf) > c.start && c.buf[c.start] == '-' {
			c.run.failed++
		}
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
	default:
		return cmd.is&flagWrite == 0 || c.keysFit(cmd)
	}
	return false
}

// reject answers a command that is not run.
func (c *client) reject(text string) {
	c.run.rejected++
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

func (c *client) dispatch(cmd *command) {
	if cmd.run != nil {
		cmd.run(c)
		return
	}
	region, err := c.currentRegion()
	switch {
	case err != nil:
		c.fail("ERR " + err.Error())
	case cmd.read != nil:
		region.View(c.viewFn)
	default:
		c.apply(region)
	}
}

// apply runs the command's writes and notes what its reply must wait for.
func (c *client) apply(region *fabric.Region) {
	commit, err := region.Apply(c.applyFn)
	if err != nil {
		c.undo()
		c.failWrite(err)
		return
	}
	if region.Ack() != fabric.AckMemory {
		c.pending, c.waits = append(c.pending, pendingAck{commit, c.start, len(c.buf)}), true
	}
}

// failWrite answers a write that the fabric refused. The region is looked up again by the next command: it
// may have been deleted meanwhile.
func (c *client) failWrite(err error) {
	c.region = nil
	c.fail("ERR " + err.Error())
}

// finish closes the reply under way: too much of it becomes an error, and what CLIENT REPLY suppresses
// goes.
func (c *client) finish() {
	if c.overflowed {
		c.undo()
		c.failf("ERR the reply is larger than %d bytes; read it in parts with SCAN, SSCAN or HSCAN", c.limitBytes)
	}
	if c.replyOff || c.skipThis || c.skipNext {
		c.undo()
	}
	if c.waits {
		c.pending[len(c.pending)-1].end = len(c.buf)
	}
	if len(c.pending) >= acksMax {
		c.await()
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
