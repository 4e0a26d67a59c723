package resp

import (
	"time"

	"github.com/edgemem/edgemem/crdt"
)

const (
	waits    = "Waits for a local write or for a merge, whichever brings something; the first that waits is served first."
	waitPops = waits + " At least once across a partition: nodes that do not hear of each other may pop the same element."
)

func blockingCommands() []*command {
	pop := func(name, since, summary string, back bool) *command {
		return &command{name: name, arity: -3, flags: "write noscript blocking", keys: keySpec{first: 1, last: -2, step: 1, access: "RW access delete"}, group: "list", since: since, cost: "O(K) for K keys",
			summary: summary, note: waitPops, write: func(c *client, tx *crdt.Tx) { c.blockingPop(tx, back) }}
	}
	popSorted := func(name, summary string, back bool) *command {
		return &command{name: name, arity: -3, flags: "write noscript blocking fast", keys: keySpec{first: 1, last: -2, step: 1, access: "RW access delete"}, group: "sorted-set", since: "5.0.0", cost: "O(log(N)) for a sorted set of N",
			summary: summary, note: waitPops, write: func(c *client, tx *crdt.Tx) { c.blockingPopSorted(tx, back) }}
	}
	two := keyRoles(keyAt(1, "RW access delete"), keyAt(2, "RW insert"))
	return []*command{
		pop("blpop", "2.0.0", "Removes the first element of the first of several lists that has any, and waits for one.", false),
		pop("brpop", "2.0.0", "Removes the last element of the first of several lists that has any, and waits for one.", true),
		popSorted("bzpopmin", "Removes the member with the lowest score of the first of several sorted sets that has any, and waits for one.", false),
		popSorted("bzpopmax", "Removes the member with the highest score of the first of several sorted sets that has any, and waits for one.", true),
		{name: "blmpop", arity: -5, flags: "write blocking movablekeys", keys: countedKeys(2, "RW access delete"), group: "list", since: "7.0.0", cost: "O(K+N) for K keys and N elements",
			summary: "Removes elements from the first of several lists that has any, and waits for one.", note: waitPops, write: func(c *client, tx *crdt.Tx) { c.popList(tx, true) }},
		{name: "bzmpop", arity: -5, flags: "write blocking movablekeys", keys: countedKeys(2, "RW access delete"), group: "sorted-set", since: "7.0.0", cost: "O(K) + O(M*log(N)) for K keys and M members of a sorted set of N",
			summary: "Removes members from the first of several sorted sets that has any, and waits for one.", note: waitPops, write: func(c *client, tx *crdt.Tx) { c.popSet(tx, true) }},
		{name: "blmove", arity: 6, flags: "write denyoom noscript blocking", keys: two, group: "list", since: "6.2.0", cost: "O(1)",
			summary: "Moves an element from an end of one list to an end of another, and waits for one.", note: waitPops, write: blmove},
		{name: "brpoplpush", arity: 4, flags: "write denyoom noscript blocking", keys: two, group: "list", since: "2.2.0", cost: "O(1)",
			summary: "Moves the last element of one list before the first of another, and waits for one.", note: waitPops,
			write: func(c *client, tx *crdt.Tx) {
				if deadline, ok := c.timeout(3); ok {
					c.blockingMove(tx, deadline, true, false)
				}
			}},
	}
}

// firstFilled finds the first of several keys of which the length is not 0. Of one that holds another type a command that
// comes new says so; one that waits waits on.
func (c *client) firstFilled(keys [][]byte, length func(key string) (int, error)) (key string, n int, ok bool) {
	for _, k := range keys {
		key = string(k)
		n, err := length(key)
		switch {
		case err != nil && c.waiter == nil:
			c.fail(errWrongType)
			return "", 0, false
		case err == nil && n > 0:
			return key, n, true
		}
	}
	return "", 0, true
}

// waitForEnd is a command of keys and a timeout behind them: take runs on the first key that holds something.
func (c *client) waitForEnd(length func(key string) (int, error), take func(key string, n int)) {
	last := len(c.args) - 1
	deadline, ok := c.timeout(last)
	if !ok {
		return
	}
	keys := c.args[1:last]
	key, n, ok := c.firstFilled(keys, length)
	switch {
	case !ok:
	case n == 0:
		c.park(keys, deadline, c.nullArray)
	default:
		take(key, n)
	}
}

func (c *client) blockingPop(tx *crdt.Tx, back bool) {
	c.waitForEnd(tx.ListLen, func(key string, n int) {
		c.array(2)
		c.bulkString(key)
		c.popEnd(tx, key, n, 1, back)
	})
}

func (c *client) blockingPopSorted(tx *crdt.Tx, back bool) {
	c.waitForEnd(tx.SortedLen, func(key string, n int) {
		members := takeEnd(tx, key, n, 1, back)
		c.array(3)
		c.bulkString(key)
		c.bulkString(members[0].name)
		c.double(members[0].score)
		c.removeMembers(tx, key, n, members)
	})
}

func blmove(c *client, tx *crdt.Tx) {
	fromBack, toBack, ok := c.moveEnds()
	if !ok {
		return
	}
	if deadline, ok := c.timeout(5); ok {
		c.blockingMove(tx, deadline, fromBack, toBack)
	}
}

func (c *client) blockingMove(tx *crdt.Tx, deadline time.Time, fromBack, toBack bool) {
	_, n, ok := c.firstFilled(c.args[1:2], tx.ListLen)
	switch {
	case !ok:
	case n == 0:
		c.park(c.args[1:2], deadline, c.null)
	default:
		c.move(tx, fromBack, toBack)
	}
}
