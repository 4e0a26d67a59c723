package resp

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

const leaseNote = "A majority of the voters grants it, and none of the rest of the network: who cannot reach a majority is told NOMAJORITY, and who is missing. A token is higher than all " +
	"before it: store it beside what the lease guards, and refuse older ones. The time that comes back counts from before the command was sent."

// leaseCommands take and give up leases, and name those who grant them.
func leaseCommands() []*command {
	sub := func(name string, arity int, acl, summary, note string, run func(c *client)) *command {
		return &command{name: "em.lease|" + name, arity: arity, flags: "noscript skip_slowlog", acl: acl, group: "edgemem", since: "0.1.0",
			cost: "two round trips to a majority", summary: summary, note: note, is: flagNoMulti, run: run}
	}
	return []*command{
		{name: "em.lease", arity: -2, group: "edgemem", since: "0.1.0", cost: "by subcommand",
			summary: "Commands about leases with fencing tokens.", subs: []*command{
				sub("acquire", -4, "write", "Takes a lease of the selected region: EM.LEASE ACQUIRE name milliseconds [OWNER text]. Gives its token, and for how many milliseconds it lasts.",
					leaseNote+" HELD tells who has it.", leaseAcquire),
				sub("renew", 5, "write", "Has a lease last for so long from now on: EM.LEASE RENEW name token milliseconds. Gives for how many milliseconds it lasts.",
					"LOST, where it was released or somebody took it since; else as EM.LEASE ACQUIRE.", leaseRenew),
				sub("release", 4, "write", "Gives a lease up: EM.LEASE RELEASE name token.", "As EM.LEASE RENEW.", leaseRelease),
				sub("show", 3, "read", "Tells who holds a lease: whether it is held, the token and owner of its last holder, and for how many milliseconds it lasts at most.",
					"As a majority of the voters knows it at the moment.", leaseShow),
				sub("voters", 2, "read", "Tells who votes on leases: how often they were named, how many are a majority, whether this node has a vote, and their ids.",
					"As far as this node knows.", leaseVoters),
				sub("elect", -3, "admin dangerous", "Names the nodes that vote on leases, by id or name: EM.LEASE ELECT node [node ...].",
					"The first time all core members must be connected and agree, later a majority of those that vote. Leases that are held meanwhile are not renewed.", leaseElect),
			}},
	}
}

// asking waits for voters, with the replies before it sent. It is false when the client is gone.
func (c *client) asking() (r *fabric.Region, ctx context.Context, ok bool) {
	if r = c.replica(); r == nil {
		return nil, nil, false
	}
	if !c.settle() {
		c.closing = true
		return nil, nil, false
	}
	c.begin()
	return r, c.srv.ackCtx, true
}

// leaseTime reads a time in milliseconds. What is too long for a lease stays so.
func (c *client) leaseTime(i int) (time.Duration, bool) {
	ms, ok := c.integer(i)
	return time.Duration(min(max(ms, 0), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, ok
}

func (c *client) leaseToken(i int) (uint64, bool) {
	n, err := strconv.ParseUint(string(c.args[i]), 10, 64)
	if err != nil {
		c.fail(errNotInteger)
	}
	return n, err == nil
}

func (c *client) failLease(err error) {
	switch {
	case errors.Is(err, fabric.ErrLeaseHeld):
		c.fail("HELD " + err.Error())
	case errors.Is(err, fabric.ErrLeaseLost):
		c.fail("LOST " + err.Error())
	case errors.Is(err, fabric.ErrNoMajority):
		c.fail("NOMAJORITY " + err.Error())
	case errors.Is(err, fabric.ErrNoVoters):
		c.fail("NOVOTERS " + err.Error())
	default:
		c.fail("ERR " + err.Error())
	}
}

func leaseAcquire(c *client) {
	owner := ""
	switch {
	case len(c.args) == 6 && equalFold(c.args[4], "owner"):
		owner = string(c.args[5])
	case len(c.args) != 4:
		c.fail(errSyntax)
		return
	}
	name := string(c.args[2])
	ttl, ok := c.leaseTime(3)
	if !ok {
		return
	}
	r, ctx, ok := c.asking()
	if !ok {
		return
	}
	l, err := r.AcquireLease(ctx, name, ttl, owner)
	if err != nil {
		c.failLease(err)
		return
	}
	c.array(2)
	c.int(int64(l.Token()))
	c.int(l.Left().Milliseconds())
}

func leaseRenew(c *client) {
	name := string(c.args[2])
	token, ok := c.leaseToken(3)
	if !ok {
		return
	}
	ttl, ok := c.leaseTime(4)
	if !ok {
		return
	}
	r, ctx, ok := c.asking()
	if !ok {
		return
	}
	info, err := r.RenewLease(ctx, name, token, ttl)
	if err != nil {
		c.failLease(err)
		return
	}
	c.int(info.Left.Milliseconds())
}

func leaseRelease(c *client) {
	name := string(c.args[2])
	token, ok := c.leaseToken(3)
	if !ok {
		return
	}
	r, ctx, ok := c.asking()
	if !ok {
		return
	}
	if err := r.ReleaseLease(ctx, name, token); err != nil {
		c.failLease(err)
		return
	}
	c.ok()
}

func leaseShow(c *client) {
	name := string(c.args[2])
	r, ctx, ok := c.asking()
	if !ok {
		return
	}
	info, err := r.Lease(ctx, name)
	if err != nil {
		c.failLease(err)
		return
	}
	held := int64(0)
	if info.Held {
		held = 1
	}
	c.mapOf(4)
	c.bulkString("held")
	c.int(held)
	c.bulkString("token")
	c.int(int64(info.Token))
	c.bulkString("owner")
	c.bulkString(info.Owner)
	c.bulkString("left-ms")
	c.int(info.Left.Milliseconds())
}

func leaseVoters(c *client) {
	v := c.srv.cfg.Fabric.Voters()
	votes := int64(0)
	if v.Votes {
		votes = 1
	}
	ids := []string{}
	for _, x := range v.Voters {
		ids = append(ids, string(x.ID))
	}
	c.mapOf(4)
	c.bulkString("epoch")
	c.int(int64(v.Epoch))
	c.bulkString("majority")
	c.int(int64(v.Need))
	c.bulkString("votes-here")
	c.int(votes)
	c.bulkString("voters")
	c.bulks(ids)
}

func leaseElect(c *client) {
	var nodes []string
	for _, n := range c.args[2:] {
		nodes = append(nodes, string(n))
	}
	_, ctx, ok := c.asking()
	if !ok {
		return
	}
	if _, err := c.srv.cfg.Fabric.SetVoters(ctx, nodes); err != nil {
		c.failLease(err)
		return
	}
	c.ok()
}
