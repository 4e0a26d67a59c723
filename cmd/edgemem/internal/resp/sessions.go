package resp

import (
	"context"
	"errors"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

// sessionCommands carry what a client has seen from one node to another.
func sessionCommands() []*command {
	return []*command{
		{name: "em.token", arity: 1, flags: "noscript", acl: "read", group: "edgemem", since: "0.1.0", cost: "O(N) for N origins that write",
			summary: "Gives a token of what this node has seen of the selected region.", note: sessionNote, is: flagNoMulti, run: token},
		{name: "em.at", arity: 3, flags: "noscript skip_slowlog", acl: "read", group: "edgemem", since: "0.1.0", cost: "O(N) for N origins that write",
			summary: "Waits until this node has seen all that a token has: EM.AT token milliseconds.",
			note:    "Answers OK, or STALE with the number of writes that are missing here when the time is over. A time of 0 does not wait; a minute is the most.",
			is:      flagNoMulti, run: awaitToken},
	}
}

const sessionNote = "A client that gives the token of its last call with EM.AT at the next node reads its own writes, never reads an older state than before, and its writes cover what it read."

func token(c *client) {
	switch r := c.replica(); {
	case r == nil:
	case !r.Held():
		c.forwardThis()
	default:
		c.bulkString(r.Token().String())
	}
}

// replica is this node's replica of the selected region; nil after an error reply.
func (c *client) replica() *fabric.Region {
	r, err := c.srv.cfg.Fabric.Region(c.labels.region)
	if err != nil {
		c.fail("ERR " + err.Error())
		return nil
	}
	return r
}

func awaitToken(c *client) {
	t, err := fabric.ParseToken(string(c.args[1]))
	if err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	ms, ok := c.integer(2)
	if !ok {
		return
	}
	if ms < 0 {
		c.fail("ERR timeout is negative")
		return
	}
	r := c.replica()
	if r == nil {
		return
	}
	if !r.Held() {
		c.forwardThis()
		return
	}
	at := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(c.srv.ackCtx, limit)
		defer cancel()
		return r.At(ctx, t)
	}
	err = at(0)
	if errors.Is(err, fabric.ErrStale) && ms > 0 {
		if !c.settle() { // who waits has the replies before it
			c.closing = true
			return
		}
		c.begin()
		err = at(time.Duration(min(ms, waitMax.Milliseconds())) * time.Millisecond)
	}
	switch {
	case err == nil:
		c.ok()
	case errors.Is(err, fabric.ErrStale):
		c.fail("STALE " + err.Error())
	default:
		c.fail("ERR " + err.Error())
	}
}
