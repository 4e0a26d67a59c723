package resp

import (
	"bytes"

	"github.com/edgemem/edgemem/crdt"
)

const copiesView = "Copies what shows: concurrent siblings stay behind, and a counter's copy begins as a plain number."

func copyCommands() []*command {
	return []*command{
		{name: "rename", arity: 3, flags: "write", keys: keyRoles(keyAt(1, "RW access delete"), keyAt(2, "OW update")),
			group: "generic", since: "1.0.0", cost: "O(N) for a value of N parts",
			summary: "Gives a key another name.",
			note:    "A copy and a remove in one delta: what is written concurrently elsewhere under the old name stays there. " + copiesView, write: rename},
		{name: "renamenx", arity: 3, flags: "write fast", keys: keyRoles(keyAt(1, "RW access delete"), keyAt(2, "OW insert")),
			group: "generic", since: "1.0.0", cost: "O(N) for a value of N parts",
			summary: "Gives a key another name, if that is free.",
			note:    localCheck + " " + copiesView, write: renameNX},
		{name: "copy", arity: -3, flags: "write denyoom", keys: keyRoles(keyAt(1, "RO access"), keyAt(2, "OW update")),
			group: "generic", since: "6.2.0", cost: "O(N) for a value of N parts",
			summary: "Copies a value to another key.",
			note:    copiesView + " DB: regions are apart from each other, so only the selected one is accepted.", write: copyKey},
	}
}

func rename(c *client, tx *crdt.Tx) {
	from, to := string(c.args[1]), string(c.args[2])
	switch {
	case tx.Kind(from) == crdt.KindNone:
		c.fail(errNoKey)
	case from == to:
		c.ok()
	case c.copyEntry(tx, from, to):
		tx.Del(from)
		c.ok()
	}
}

const errNoKey = "ERR no such key"

func renameNX(c *client, tx *crdt.Tx) {
	from, to := string(c.args[1]), string(c.args[2])
	switch {
	case tx.Kind(from) == crdt.KindNone:
		c.fail(errNoKey)
	case !c.localCheckAllowed("renamenx"):
	case tx.Kind(to) != crdt.KindNone:
		c.int(0)
	case c.copyEntry(tx, from, to):
		tx.Del(from)
		c.int(1)
	}
}

func copyKey(c *client, tx *crdt.Tx) {
	replace, ok := c.copyOptions()
	from, to := string(c.args[1]), string(c.args[2])
	switch {
	case !ok:
	case from == to:
		c.fail("ERR source and destination objects are the same")
	case tx.Kind(from) == crdt.KindNone:
		c.int(0)
	case tx.Kind(to) != crdt.KindNone && !replace:
		c.int(0)
	case c.copyEntry(tx, from, to):
		c.int(1)
	}
}

func (c *client) copyOptions() (replace, ok bool) {
	for i := 3; i < len(c.args); i++ {
		switch {
		case equalFold(c.args[i], "replace"):
			replace = true
		case equalFold(c.args[i], "db") && i+1 < len(c.args):
			i++
			if !c.sameRegion(i) {
				return false, false
			}
		default:
			c.fail(errSyntax)
			return false, false
		}
	}
	return replace, true
}

// sameRegion checks that the database number at args[i] is the selected region.
func (c *client) sameRegion(i int) bool {
	if _, ok := c.integer(i); !ok {
		return false
	}
	name, ok := c.regionName(c.args[i])
	if ok && name != c.labels.region {
		c.fail("ERR 'copy' to another database not supported by edgemem: regions are apart from each other; read from one and write to the other")
		return false
	}
	return ok
}

// copyEntry makes to what from shows, its expiry included. It answers what cannot be copied.
func (c *client) copyEntry(tx *crdt.Tx, from, to string) bool {
	at, expires := tx.ExpireAt(from)
	put, ok := c.copierOf(tx, from)
	if !ok {
		return false
	}
	tx.Del(to)
	put(to)
	if expires {
		tx.Expire(to, at)
	}
	return true
}

// copierOf reads a whole entry, and gives what writes it to another key. What it reads some region stores, so that no
// write of it can fail.
func (c *client) copierOf(tx *crdt.Tx, from string) (put func(to string), ok bool) {
	switch kind := tx.Kind(from); kind {
	case crdt.KindString:
		val, _, _ := tx.Get(from)
		val = bytes.Clone(val)
		return func(to string) { tx.Set(to, val, false) }, true
	case crdt.KindSet:
		var members []string
		_ = tx.SetEach(from, func(member string) bool { members = append(members, member); return true })
		return func(to string) {
			for _, member := range members {
				_, _ = tx.SetAdd(to, member)
			}
		}, true
	case crdt.KindList:
		var items [][]byte
		if c.unreadable(tx.ListEach(from, 0, false, func(val []byte) bool { items = append(items, bytes.Clone(val)); return true })) {
			return nil, false
		}
		return func(to string) {
			for i, val := range items {
				_ = tx.ListInsert(to, i, val)
			}
		}, true
	case crdt.KindBlock:
		return c.blockCopier(tx, from)
	case crdt.KindStream:
		return c.streamCopier(tx, from)
	case crdt.KindJSON:
		doc, _, err := tx.JSON(from, "")
		if err != nil {
			c.failJSON(err)
			return nil, false
		}
		return func(to string) { _ = tx.JSONSet(to, "", &doc) }, true
	case crdt.KindBounded:
		b, _, _ := tx.Bounded(from)
		return func(to string) { _ = tx.BoundedNew(to, b.Value, b.Limit, b.Ceiling) }, true
	case crdt.KindFlag:
		on, rule, _, _ := tx.Flag(from)
		return func(to string) { _ = tx.FlagSet(to, on, rule) }, true
	case crdt.KindSorted:
		var members []member
		_ = tx.SortedEach(from, 0, false, func(name []byte, score float64) bool {
			members = append(members, member{string(name), score})
			return true
		})
		return func(to string) {
			for _, m := range members {
				_, _ = tx.SortedSet(to, m.name, m.score)
			}
		}, true
	case crdt.KindMap:
		var fields []part
		_ = tx.MapEach(from, func(field string, val []byte) bool {
			fields = append(fields, part{field, bytes.Clone(val)})
			return true
		})
		return func(to string) {
			for _, f := range fields {
				_, _ = tx.MapSet(to, f.name, f.val)
			}
		}, true
	default:
		c.failf("ERR '%s' of a %v not supported by edgemem", c.cmd.name, kind)
		return nil, false
	}
}
