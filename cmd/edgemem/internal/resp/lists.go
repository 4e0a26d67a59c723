package resp

import (
	"bytes"
	"errors"
	"math"

	"github.com/edgemem/edgemem/crdt"
)

const (
	runsStay  = "What several nodes push to one place at once stays together, run by run, in one order everywhere."
	listPops  = popNote + " An element that is written with LSET while it is popped elsewhere stays."
	byElement = "Finds elements by what this node shows."
)

func listCommands() []*command {
	push := func(name, since, summary string, back, exists bool) *command {
		return &command{name: name, arity: -3, flags: "write denyoom fast", keys: oneKey("RW insert"), group: "list", since: since, cost: "O(1) for each element",
			summary: summary, note: runsStay, write: func(c *client, tx *crdt.Tx) { c.pushItems(tx, back, exists) }}
	}
	pop := func(name, summary string, back bool) *command {
		return &command{name: name, arity: -2, flags: "write fast", keys: oneKey("RW access delete"), group: "list", since: "1.0.0", cost: "O(N) for N elements",
			summary: summary, note: listPops, write: func(c *client, tx *crdt.Tx) { c.pop(tx, back) }}
	}
	two := keyRoles(keyAt(1, "RW access delete"), keyAt(2, "RW insert"))
	return []*command{
		push("lpush", "1.0.0", "Adds elements before the first of a list.", false, false),
		push("rpush", "1.0.0", "Adds elements behind the last of a list.", true, false),
		push("lpushx", "2.2.0", "Adds elements before the first of a list that there is.", false, true),
		push("rpushx", "2.2.0", "Adds elements behind the last of a list that there is.", true, true),
		pop("lpop", "Removes the first elements of a list and returns them.", false),
		pop("rpop", "Removes the last elements of a list and returns them.", true),
		{name: "llen", arity: 2, flags: "readonly fast", keys: oneKey("RO"), group: "list", since: "1.0.0", cost: "O(1)",
			summary: "Counts the elements of a list.", read: llen},
		{name: "lrange", arity: 4, flags: "readonly", keys: oneKey("RO access"), group: "list", since: "1.0.0", cost: "O(log(N)+M) for M elements of a list of N",
			summary: "Lists the elements in a range of places.", read: lrange},
		{name: "lindex", arity: 3, flags: "readonly", keys: oneKey("RO access"), group: "list", since: "1.0.0", cost: "O(log(N)) for a list of N",
			summary: "Reads the element at a place.", read: lindex},
		{name: "lset", arity: 4, flags: "write denyoom", keys: oneKey("RW update"), group: "list", since: "1.0.0", cost: "O(log(N)) for a list of N",
			summary: "Writes the element at a place.", note: "The last write of an element wins, whatever was put beside it meanwhile.", write: lset},
		{name: "linsert", arity: 5, flags: "write denyoom", keys: oneKey("RW insert"), group: "list", since: "2.2.0", cost: "O(N) for a list of N",
			summary: "Adds an element beside another.", note: runsStay, write: linsert},
		{name: "lrem", arity: 4, flags: "write", keys: oneKey("RW delete"), group: "list", since: "1.0.0", cost: "O(N) for a list of N",
			summary: "Removes elements that are alike.", note: byElement, write: lrem},
		{name: "ltrim", arity: 4, flags: "write", keys: oneKey("RW delete"), group: "list", since: "1.0.0", cost: "O(M*log(N)) for M elements that go of N",
			summary: "Removes all elements but a range.", note: removesObserved, write: ltrim},
		{name: "lpos", arity: -3, flags: "readonly", keys: oneKey("RO access"), group: "list", since: "6.0.6", cost: "O(N) for a list of N",
			summary: "Tells the places of elements that are alike.", read: lpos},
		{name: "lmove", arity: 5, flags: "write denyoom", keys: two, group: "list", since: "6.2.0", cost: "O(1)",
			summary: "Moves an element from an end of one list to an end of another.", note: listPops, write: lmove},
		{name: "rpoplpush", arity: 3, flags: "write denyoom", keys: two, group: "list", since: "1.2.0", cost: "O(1)",
			summary: "Moves the last element of one list before the first of another.", note: listPops,
			write: func(c *client, tx *crdt.Tx) { c.move(tx, true, false) }},
		{name: "lmpop", arity: -4, flags: "write movablekeys", keys: countedKeys(1, "RW access delete"), group: "list", since: "7.0.0", cost: "O(K+N) for K keys and N elements",
			summary: "Removes elements from the first of several lists that has any.", note: listPops, write: lmpop},
	}
}

// listLen counts the elements, or answers WRONGTYPE.
func (c *client) listLen(v *crdt.View, key string) (n int, ok bool) {
	n, err := v.ListLen(key)
	if err != nil {
		c.fail(errWrongType)
	}
	return n, err == nil
}

// failList answers what a write to a list says.
func (c *client) failList(err error) {
	if errors.Is(err, crdt.ErrWrongType) {
		c.fail(errWrongType)
		return
	}
	c.fail("ERR " + err.Error())
}

// unreadable answers an element that cannot be read back from disk, and says whether there is one.
func (c *client) unreadable(err error) bool {
	if err != nil {
		c.undo()
		c.fail("ERR " + err.Error())
	}
	return err != nil
}

func (c *client) pushItems(tx *crdt.Tx, back, exists bool) {
	for _, val := range c.args[2:] {
		if !c.valueFits(val) {
			return
		}
	}
	key := string(c.args[1])
	n, ok := c.listLen(&tx.View, key)
	if !ok {
		return
	}
	if n == 0 && exists {
		c.int(0)
		return
	}
	for _, val := range c.args[2:] {
		at := 0
		if back {
			at = n
		}
		if err := tx.ListInsert(key, at, bytes.Clone(val)); err != nil {
			c.failList(err)
			return
		}
		n++
	}
	c.int(int64(n))
}

// ends gives the rank of the first of count elements at an end of n, in the direction in which they are taken.
func ends(n, count int, back bool) (from, lowest int) {
	if back {
		return n - 1, n - count
	}
	return 0, 0
}

// elements answers with count elements from a rank on. It reports whether all could be read.
func (c *client) elements(v *crdt.View, key string, from, count int, back bool) bool {
	err := error(nil)
	if count > 0 {
		err = v.ListEach(key, from, back, func(val []byte) bool {
			c.bulk(val)
			count--
			return count > 0 && !c.overflowed
		})
	}
	return !c.unreadable(err) && !c.overflowed
}

func (c *client) pop(tx *crdt.Tx, back bool) {
	if len(c.args) > 3 {
		c.fail("ERR wrong number of arguments for '" + c.cmd.name + "' command")
		return
	}
	count, counted, ok := int64(1), len(c.args) == 3, true
	if counted {
		if count, ok = c.positive(2); !ok {
			return
		}
	}
	key := string(c.args[1])
	n, ok := c.listLen(&tx.View, key)
	switch {
	case !ok:
	case n == 0 && counted:
		c.nullArray()
	case n == 0:
		c.null()
	default:
		k := int(min(count, int64(n)))
		if counted {
			c.array(k)
		}
		c.popEnd(tx, key, n, k, back)
	}
}

// popEnd takes k elements from an end of n and writes them.
func (c *client) popEnd(tx *crdt.Tx, key string, n, k int, back bool) {
	from, lowest := ends(n, k, back)
	if c.elements(&tx.View, key, from, k, back) {
		_, _ = tx.ListRemove(key, lowest, k)
	}
}

func llen(c *client, v *crdt.View) {
	if n, ok := c.listLen(v, view(c.args[1])); ok {
		c.int(int64(n))
	}
}

func lrange(c *client, v *crdt.View) {
	from, ok := c.integer(2)
	if !ok {
		return
	}
	to, ok := c.integer(3)
	if !ok {
		return
	}
	key := view(c.args[1])
	n, ok := c.listLen(v, key)
	if !ok {
		return
	}
	first, end := ranksOf(from, to, n)
	c.array(end - first)
	c.elements(v, key, first, end-first, false)
}

// place turns an index, which counts from the end where it is negative, into a rank of n; ok is false where there is none.
func placeIn(i int64, n int) (rank int, ok bool) {
	if i < 0 {
		i += int64(n)
	}
	return int(max(min(i, int64(n)), 0)), i >= 0 && i < int64(n)
}

func lindex(c *client, v *crdt.View) {
	key := view(c.args[1])
	n, ok := c.listLen(v, key)
	if !ok {
		return
	}
	if n == 0 {
		c.null()
		return
	}
	i, ok := c.integer(2)
	if !ok {
		return
	}
	rank, ok := placeIn(i, n)
	if !ok {
		c.null()
		return
	}
	c.elements(v, key, rank, 1, false)
}

func lset(c *client, tx *crdt.Tx) {
	if !c.valueFits(c.args[3]) {
		return
	}
	key := string(c.args[1])
	n, ok := c.listLen(&tx.View, key)
	if !ok {
		return
	}
	if n == 0 {
		c.fail(errNoKey)
		return
	}
	i, ok := c.integer(2)
	if !ok {
		return
	}
	rank, ok := placeIn(i, n)
	if !ok {
		c.fail("ERR index out of range")
		return
	}
	if err := tx.ListSet(key, rank, bytes.Clone(c.args[3])); err != nil {
		c.failList(err)
		return
	}
	c.ok()
}

// find calls fn with the ranks of the elements that are alike, from a rank on, until it returns false. It looks at up to most.
func (c *client) findElements(v *crdt.View, key string, element []byte, from int, back bool, most int64, fn func(rank int) bool) bool {
	rank := from
	err := v.ListEach(key, from, back, func(val []byte) bool {
		if bytes.Equal(val, element) && !fn(rank) {
			return false
		}
		if rank++; back {
			rank -= 2
		}
		most--
		return most != 0
	})
	return !c.unreadable(err)
}

func linsert(c *client, tx *crdt.Tx) {
	after := equalFold(c.args[2], "after")
	if !after && !equalFold(c.args[2], "before") {
		c.fail(errSyntax)
		return
	}
	if !c.valueFits(c.args[4]) {
		return
	}
	key := string(c.args[1])
	n, ok := c.listLen(&tx.View, key)
	if !ok {
		return
	}
	if n == 0 {
		c.int(0)
		return
	}
	at := -1
	if !c.findElements(&tx.View, key, c.args[3], 0, false, 0, func(rank int) bool { at = rank; return false }) {
		return
	}
	if at < 0 {
		c.int(-1)
		return
	}
	if after {
		at++
	}
	if err := tx.ListInsert(key, at, bytes.Clone(c.args[4])); err != nil {
		c.failList(err)
		return
	}
	c.int(int64(n + 1))
}

func lrem(c *client, tx *crdt.Tx) {
	count, ok := c.integer(2)
	if !ok {
		return
	}
	key := string(c.args[1])
	n, ok := c.listLen(&tx.View, key)
	if !ok {
		return
	}
	if n == 0 {
		c.int(0)
		return
	}
	back, from := count < 0, 0
	if back {
		from = n - 1
		count = max(-count, 0) // of the least number there is: all
	}
	var ranks []int
	if !c.findElements(&tx.View, key, c.args[3], from, back, 0, func(rank int) bool {
		ranks = append(ranks, rank)
		return int64(len(ranks)) != count
	}) {
		return
	}
	for i := range ranks { // the last first, so that the others keep their places
		rank := ranks[len(ranks)-1-i]
		if back {
			rank = ranks[i]
		}
		_, _ = tx.ListRemove(key, rank, 1)
	}
	c.int(int64(len(ranks)))
}

func ltrim(c *client, tx *crdt.Tx) {
	from, ok := c.integer(2)
	if !ok {
		return
	}
	to, ok := c.integer(3)
	if !ok {
		return
	}
	key := string(c.args[1])
	n, ok := c.listLen(&tx.View, key)
	if !ok {
		return
	}
	first, end := ranksOf(from, to, n)
	if first == end {
		tx.Del(key)
	} else {
		_, _ = tx.ListRemove(key, end, n-end)
		_, _ = tx.ListRemove(key, 0, first)
	}
	c.ok()
}

// posOptions are what LPOS takes.
type posOptions struct {
	rank, count, most int64
	counted           bool
}

func (c *client) parsePos() (o posOptions, ok bool) {
	o.rank, o.count = 1, 1
	for i := 3; i < len(c.args); i += 2 {
		if i+1 == len(c.args) {
			c.fail(errSyntax)
			return o, false
		}
		switch lowerWord(c.args[i]) {
		case "rank":
			if o.rank, ok = c.integer(i + 1); !ok {
				return o, false
			}
			if o.rank == 0 {
				c.fail("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list")
				return o, false
			}
			if o.rank == math.MinInt64 {
				c.fail("ERR value is out of range")
				return o, false
			}
		case "count":
			o.counted = true
			if o.count, ok = parseInt(c.args[i+1]); !ok || o.count < 0 {
				c.fail("ERR COUNT can't be negative")
				return o, false
			}
		case "maxlen":
			if o.most, ok = parseInt(c.args[i+1]); !ok || o.most < 0 {
				c.fail("ERR MAXLEN can't be negative")
				return o, false
			}
		default:
			c.fail(errSyntax)
			return o, false
		}
	}
	return o, true
}

func lpos(c *client, v *crdt.View) {
	o, ok := c.parsePos()
	if !ok {
		return
	}
	key := view(c.args[1])
	n, ok := c.listLen(v, key)
	if !ok {
		return
	}
	back, from := o.rank < 0, 0
	if back {
		from, o.rank = n-1, -o.rank
	}
	var ranks []int
	if n > 0 && !c.findElements(v, key, c.args[2], from, back, o.most, func(rank int) bool {
		if o.rank--; o.rank <= 0 {
			ranks = append(ranks, rank)
		}
		return o.count == 0 || int64(len(ranks)) < o.count
	}) {
		return
	}
	switch {
	case o.counted:
		c.array(len(ranks))
		for _, rank := range ranks {
			c.int(int64(rank))
		}
	case len(ranks) == 0:
		c.null()
	default:
		c.int(int64(ranks[0]))
	}
}

// end reads LEFT or RIGHT.
func (c *client) end(i int) (back, ok bool) {
	if back = equalFold(c.args[i], "right"); !back && !equalFold(c.args[i], "left") {
		c.fail(errSyntax)
		return false, false
	}
	return back, true
}

func lmove(c *client, tx *crdt.Tx) {
	if from, to, ok := c.moveEnds(); ok {
		c.move(tx, from, to)
	}
}

// moveEnds reads which end LMOVE takes from, and to which it puts.
func (c *client) moveEnds() (fromBack, toBack, ok bool) {
	if fromBack, ok = c.end(3); ok {
		toBack, ok = c.end(4)
	}
	return fromBack, toBack, ok
}

func (c *client) move(tx *crdt.Tx, fromBack, toBack bool) {
	from, to := string(c.args[1]), string(c.args[2])
	n, ok := c.listLen(&tx.View, from)
	if !ok {
		return
	}
	if n == 0 {
		c.null()
		return
	}
	if _, ok := c.listLen(&tx.View, to); !ok {
		return
	}
	rank, lowest := ends(n, 1, fromBack)
	var val []byte
	if c.unreadable(tx.ListEach(from, rank, false, func(b []byte) bool { val = bytes.Clone(b); return false })) {
		return
	}
	_, _ = tx.ListRemove(from, lowest, 1)
	at := 0
	if toBack {
		at, _ = tx.ListLen(to)
	}
	if err := tx.ListInsert(to, at, val); err != nil {
		c.failList(err)
		return
	}
	c.bulk(val)
}

func lmpop(c *client, tx *crdt.Tx) { c.popList(tx, false) }

// popList is LMPOP, or BLMPOP, which has a timeout as its first argument.
func (c *client) popList(tx *crdt.Tx, waits bool) {
	c.popFirst(waits, "left", "right", tx.ListLen, func(key string, n int, q mpop) {
		k := int(min(q.count, int64(n)))
		c.array(2)
		c.bulkString(key)
		c.array(k)
		c.popEnd(tx, key, n, k, q.back)
	})
}
