package resp

import (
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// fullCount is how many entries XINFO STREAM FULL lists without COUNT.
const fullCount = 10

// fullOptions reads what stands behind XINFO STREAM key.
func (c *client) fullOptions() (full bool, count int64, ok bool) {
	words := c.args[3:]
	switch {
	case len(words) == 0:
		return false, 0, true
	case len(words) != 1 && len(words) != 3, !equalFold(words[0], "full"), len(words) == 3 && !equalFold(words[1], "count"):
		c.fail("ERR unknown subcommand or wrong number of arguments for '" + cut(c.args[1]) + "'. Try XINFO HELP.")
		return false, 0, false
	}
	count = fullCount
	if len(words) == 3 {
		if count, ok = c.integer(5); !ok {
			return false, 0, false
		}
		if count < 0 {
			count = fullCount
		}
	}
	return true, count, true
}

// xinfoOf finds the stream that XINFO is asked about, or answers that there is none.
func (c *client) xinfoOf(v *crdt.View) (h crdt.StreamHead, ok bool) {
	h, there, ok := c.stream(v, view(c.args[2]))
	if ok && !there {
		c.fail(errNoKey)
	}
	return h, ok && there
}

func xinfoStream(c *client, v *crdt.View) {
	h, ok := c.xinfoOf(v)
	if !ok {
		return
	}
	full, count, ok := c.fullOptions()
	if !ok {
		return
	}
	key := view(c.args[2])
	n, _ := v.StreamLen(key)
	first := crdt.StreamID{}
	_ = v.StreamEach(key, 0, false, func(id crdt.StreamID, _ [][]byte) bool { first = id; return false })
	nodes := (n + trimStep - 1) / trimStep // of Redis's radix tree, which there is none of here
	pairs := []struct {
		name string
		n    int
		id   *crdt.StreamID
	}{
		{"length", n, nil}, {"radix-tree-keys", nodes, nil}, {"radix-tree-nodes", nodes + 1, nil}, {"last-generated-id", 0, &h.Last},
		{"max-deleted-entry-id", 0, &h.Removed}, {"entries-added", int(h.Added), nil}, {"recorded-first-entry-id", 0, &first},
	}
	rest := 3
	if full {
		rest = 2
	}
	c.mapOf(len(pairs) + rest)
	for _, p := range pairs {
		if c.bulkString(p.name); p.id != nil {
			c.bulkString(p.id.String())
		} else {
			c.int(int64(p.n))
		}
	}
	if full {
		c.xinfoFull(v, key, n, count)
		return
	}
	c.bulkString("groups")
	c.int(0)
	c.bulkString("first-entry")
	c.edgeEntry(v, key, n, 0)
	c.bulkString("last-entry")
	c.edgeEntry(v, key, n, n-1)
}

// xinfoFull lists entries; a count of 0 is all.
func (c *client) xinfoFull(v *crdt.View, key string, n int, count int64) {
	if count > 0 {
		n = int(min(int64(n), count))
	}
	c.bulkString("entries")
	c.entries(v, key, 0, n, false)
	if len(c.buf) > c.start && c.buf[c.start] != '-' {
		c.bulkString("groups")
		c.array(0)
	}
}

// edgeEntry answers with the entry of a rank, or null where there is none.
func (c *client) edgeEntry(v *crdt.View, key string, n, rank int) {
	if n == 0 {
		c.null()
		return
	}
	c.unreadable(v.StreamEach(key, rank, false, func(id crdt.StreamID, fields [][]byte) bool {
		c.entry(id, fields)
		return false
	}))
}

func xinfoGroups(c *client, v *crdt.View) {
	if _, ok := c.xinfoOf(v); ok {
		c.array(0)
	}
}

func xinfoConsumers(c *client, v *crdt.View) {
	if _, ok := c.xinfoOf(v); ok {
		c.fail("NOGROUP No such consumer group '" + strings.ToValidUTF8(cText(c.args[3]), "?") + "' for key name '" + cText(c.args[2]) + "'")
	}
}

var xinfoHelp = []string{
	"XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"STREAM <key> [FULL [COUNT <count>]]", "    Tell about a stream.",
	"GROUPS <key>, CONSUMERS <key> <group>", "    There are no consumer groups.",
	"HELP", "    This text.",
}
