package resp

import (
	"github.com/edgemem/edgemem/crdt"
)

func objectCommands() []*command {
	sub := func(name, summary, note string, answer func(c *client, v *crdt.View, key string)) *command {
		return &command{name: "object|" + name, arity: 3, flags: "readonly", keys: keyAt(2, "RO"), acl: "keyspace", tips: "nondeterministic_output",
			group: "generic", since: "2.2.3", cost: "O(1)", summary: summary, note: note, read: func(c *client, v *crdt.View) { c.object(v, answer) }}
	}
	return []*command{
		{name: "touch", arity: -2, flags: "readonly fast", keys: allKeys("RO"),
			tips: "request_policy:multi_shard response_policy:agg_sum", group: "generic", since: "3.2.1", cost: "O(N) for N keys",
			summary: "Counts which of the keys are there, and marks them as read.",
			note:    "The mark steers which values leave memory first on this node.", read: exists},
		{name: "object", arity: -2,
			group: "generic", since: "2.2.3", cost: "by subcommand", summary: "Commands about how a value is kept.", subs: []*command{
				sub("encoding", "Tells a name for how a value is kept.",
					"Redis's names: int, embstr and raw by what a string looks like, hashtable for sets and maps of any size, skiplist for sorted sets, quicklist for lists. Blocks are kept as pages.",
					func(c *client, v *crdt.View, key string) { c.bulkString(encodingOf(v, key)) }),
				sub("refcount", "Tells how many references a value has: one.", "",
					func(c *client, _ *crdt.View, _ string) { c.int(1) }),
				sub("freq", "Answers as Redis does without an LFU policy.", "",
					func(c *client, _ *crdt.View, _ string) {
						c.fail("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
					}),
				{name: "object|idletime", refusal: "when a key was read last is not kept"},
				{name: "object|help", arity: 2, flags: "loading stale", acl: "keyspace",
					group: "generic", since: "6.2.0", cost: "O(1)",
					summary: "Lists the subcommands.", run: func(c *client) { c.help(objectHelp) }},
			}},
	}
}

func (c *client) object(v *crdt.View, answer func(c *client, v *crdt.View, key string)) {
	key := view(c.args[2])
	if v.Kind(key) == crdt.KindNone {
		c.null()
		return
	}
	answer(c, v, key)
}

// embeddedMax is up to how many bytes Redis keeps a string beside its header.
const embeddedMax = 44

func encodingOf(v *crdt.View, key string) string {
	switch v.Kind(key) {
	case crdt.KindSorted:
		return "skiplist"
	case crdt.KindList:
		return "quicklist"
	case crdt.KindBlock:
		return "pages"
	case crdt.KindStream:
		return "stream"
	case crdt.KindJSON:
		return "tree"
	case crdt.KindBounded:
		return "row"
	}
	val, ok, err := v.Get(key)
	if err != nil || !ok {
		return "hashtable"
	}
	if _, isInt := parseInt(val); isInt {
		return "int"
	}
	if len(val) <= embeddedMax {
		return "embstr"
	}
	return "raw"
}

var objectHelp = []string{
	"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"ENCODING <key>", "    Tell a name for how the value is kept.",
	"REFCOUNT <key>", "    Tell the number of references: 1.",
	"FREQ <key>", "    Not kept; answers as Redis does without an LFU policy.",
	"HELP", "    This text.",
}
