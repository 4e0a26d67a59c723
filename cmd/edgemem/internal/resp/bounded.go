package resp

import (
	"errors"
	"math"

	"github.com/edgemem/edgemem/crdt"
)

const (
	boundNote = "Never passes the limit, also where nodes are cut off from each other: each spends rights that it holds itself, and asks others for some where they are short."
	renewNote = "What others spend of the rights that they held until they hear of it is not in the new counter."
)

func boundedCommands() []*command {
	sub := func(name string, arity int, flags, access, cost, summary, note string) *command {
		return &command{name: "em.bound|" + name, arity: arity, flags: flags, keys: keyAt(2, access), group: "generic", since: "0.1.0",
			cost: cost, summary: summary, note: note}
	}
	reads := func(cmd *command, run func(c *client, v *crdt.View)) *command { cmd.read = run; return cmd }
	writes := func(cmd *command, run func(c *client, tx *crdt.Tx)) *command { cmd.write = run; return cmd }
	apart := func(cmd *command, run func(c *client)) *command { cmd.run, cmd.is = run, flagNoMulti; return cmd }
	return []*command{
		{name: "em.bound", arity: -3, group: "generic", since: "0.1.0", cost: "by subcommand",
			summary: "Commands about bounded counters: those that never pass a limit.", subs: []*command{
				writes(sub("new", 6, "write denyoom fast", "RW insert", "O(1)",
					"Begins a counter, all rights of which are at this node: EM.BOUND NEW key value MIN|MAX limit.",
					"Of counters that were begun concurrently the last shows. DEL ends a counter: what is done to it concurrently does not count any more."), boundNew),
				writes(sub("incr", -3, "write denyoom fast", "RW access update", "O(N) for N incarnations that took part",
					"Adds 1, or so much: EM.BOUND INCR key [by]. Answers the value, or NORIGHTS.", boundNote), boundIncr),
				writes(sub("decr", -3, "write denyoom fast", "RW access update", "O(N) for N incarnations that took part",
					"Takes 1 away, or so much: EM.BOUND DECR key [by]. Answers the value, or NORIGHTS.", boundNote), boundDecr),
				reads(sub("get", 3, "readonly fast", "RO access", "O(N) for N incarnations that took part",
					"Tells a counter's value, its limit, and how many rights are at this node; null where there is none.", localView), boundGet),
				apart(sub("rights", 3, "readonly", "RO", "O(N) for N incarnations that took part",
					"Lists who holds rights, the most first: node, name, rights. Where the node is null it ended, or is not known here: nobody can spend its rights.", localView), boundRights),
				apart(sub("give", 5, "write denyoom", "RW update", "O(N) for N incarnations that took part",
					"Passes rights on to another node: EM.BOUND GIVE key node rights. Answers how many: at most those that are here.",
					"They are the other node's at once, and it spends them when it hears of it."), boundGive),
				writes(sub("renew", 3, "write denyoom", "RW update", "O(N) for N incarnations that took part",
					"Begins a counter anew with the value that shows here and all rights here, also those of nodes that crashed.", renewNote), boundRenew),
			}},
	}
}

// failBounded answers why a bounded counter cannot be written.
func (c *client) failBounded(err error) {
	var short *crdt.RightsError
	switch {
	case errors.As(err, &short) && short.All < short.Want:
		c.failf("NORIGHTS the limit is %d away as far as this node knows, and this takes %d", short.All, short.Want)
	case errors.As(err, &short):
		c.failf("NORIGHTS %d of the %d rights that this takes are here, of %d in all; other nodes are asked for some: try again", short.Here, short.Want, short.All)
	case errors.Is(err, crdt.ErrNoRights):
		c.fail("NORIGHTS " + err.Error())
	case errors.Is(err, crdt.ErrNoBounded):
		c.fail(errNoKey)
	case errors.Is(err, crdt.ErrOverflow):
		c.fail("ERR increment or decrement would overflow")
	default:
		c.failList(err)
	}
}

func boundNew(c *client, tx *crdt.Tx) {
	value, ok := c.integer(3)
	if !ok {
		return
	}
	ceiling := equalFold(c.args[4], "max")
	if !ceiling && !equalFold(c.args[4], "min") {
		c.fail(errSyntax)
		return
	}
	limit, ok := c.integer(5)
	if !ok {
		return
	}
	if err := tx.BoundedNew(string(c.args[2]), value, limit, ceiling); err != nil {
		c.failBounded(err)
		return
	}
	c.ok()
}

func boundIncr(c *client, tx *crdt.Tx) { c.boundAdd(tx, 1) }
func boundDecr(c *client, tx *crdt.Tx) { c.boundAdd(tx, -1) }

func (c *client) boundAdd(tx *crdt.Tx, sign int64) {
	by, ok := int64(1), true
	switch {
	case len(c.args) > 4:
		c.fail(errSyntax)
		return
	case len(c.args) == 4:
		by, ok = c.integer(3)
	}
	switch {
	case !ok:
		return
	case by == math.MinInt64:
		c.failBounded(crdt.ErrOverflow)
		return
	}
	key := string(c.args[2])
	shown, err := tx.BoundedAdd(key, sign*by)
	var short *crdt.RightsError
	if errors.As(err, &short) && c.region != nil {
		c.region.WantRights(key, short.Want)
	}
	if err != nil {
		c.failBounded(err)
		return
	}
	c.int(shown.Value)
}

func boundGet(c *client, v *crdt.View) {
	shown, ok, err := v.Bounded(view(c.args[2]))
	switch {
	case err != nil:
		c.failBounded(err)
		return
	case !ok:
		c.nullArray()
		return
	}
	limit := "min"
	if shown.Ceiling {
		limit = "max"
	}
	c.mapOf(3)
	c.bulkString("value")
	c.int(shown.Value)
	c.bulkString(limit)
	c.int(shown.Limit)
	c.bulkString("rights")
	c.int(shown.Here)
}

func boundRights(c *client) {
	region, err := c.currentRegion()
	if err != nil {
		c.fail(errorWord(err) + err.Error())
		return
	}
	all, err := region.RightsOf(string(c.args[2]))
	if err != nil {
		c.failBounded(err)
		return
	}
	c.array(len(all))
	for _, h := range all {
		c.array(3)
		if h.Node == "" {
			c.null()
			c.bulkString(h.Origin.String())
		} else {
			c.bulkString(string(h.Node))
			c.bulkString(h.Name)
		}
		c.int(h.Rights)
	}
}

func boundGive(c *client) {
	rights, ok := c.integer(4)
	if !ok {
		return
	}
	region, err := c.currentRegion()
	if err != nil {
		c.fail(errorWord(err) + err.Error())
		return
	}
	given, commit, err := region.GiveRights(string(c.args[2]), string(c.args[3]), rights)
	if err == nil {
		err = commit.Wait(c.srv.ackCtx)
	}
	if err != nil {
		c.failBounded(err)
		return
	}
	c.int(given)
}

func boundRenew(c *client, tx *crdt.Tx) {
	shown, err := tx.BoundedRenew(string(c.args[2]))
	if err != nil {
		c.failBounded(err)
		return
	}
	c.int(shown.Value)
}
