package resp

import (
	"bytes"

	"github.com/edgemem/edgemem/crdt"
)

const removesObserved = "Removes what this node has seen, as one delta; what is written concurrently elsewhere stays."

const localView = "The view of this node."

func keyspaceCommands() []*command {
	return []*command{
		{name: "type", arity: 2, flags: "readonly fast", keys: oneKey("RO"),
			group: "generic", since: "1.0.0", cost: "O(1)",
			summary: "Tells what a key holds: string, set, hash, zset, list, stream, flag, block, ReJSON-RL or none.",
			note:    "Where two kinds were written concurrently, one shows, the same on every node, until a later write settles it.",
			read:    kindOf},
		{name: "exists", arity: -2, flags: "readonly fast", keys: allKeys("RO"),
			tips: "request_policy:multi_shard response_policy:agg_sum", group: "generic", since: "1.0.0", cost: "O(N) for N keys",
			summary: "Counts which of the keys are there.", read: exists},
		{name: "keys", arity: 2, flags: "readonly", acl: "dangerous",
			tips: "request_policy:all_shards nondeterministic_output_order", group: "generic", since: "1.0.0", cost: "O(N) for a region of N keys",
			summary: "Lists the keys that match a pattern.",
			note:    localView, read: keys},
		{name: "scan", arity: -2, flags: "readonly",
			tips: "nondeterministic_output request_policy:special", group: "generic", since: "2.8.0", cost: "O(1) a call, O(N) for a whole region of N keys",
			summary: "Walks over the keys in steps.",
			note:    localView, read: scanKeys},
		{name: "del", arity: -2, flags: "write", keys: allKeys("RM delete"),
			tips: "request_policy:multi_shard response_policy:agg_sum", group: "generic", since: "1.0.0", cost: "O(N) for N keys and their members",
			summary: "Removes keys.",
			note:    removesObserved, write: del},
		{name: "unlink", arity: -2, flags: "write fast", keys: allKeys("RM delete"),
			tips: "request_policy:multi_shard response_policy:agg_sum", group: "generic", since: "4.0.0", cost: "O(N) for N keys and their members",
			summary: "Removes keys; the same as DEL.",
			note:    removesObserved, write: del},
		{name: "dbsize", arity: 1, flags: "readonly fast", acl: "keyspace",
			tips: "request_policy:all_shards response_policy:agg_sum", group: "server", since: "1.0.0", cost: "O(1)",
			summary: "Counts the keys of the region.",
			note:    localView + " Keys that have expired count until they are swept.",
			read:    func(c *client, v *crdt.View) { c.int(int64(v.Len())) }},
		{name: "flushdb", arity: -1, flags: "write", acl: "keyspace dangerous",
			tips: "request_policy:all_shards response_policy:all_succeeded", group: "server", since: "1.0.0", cost: "O(N) for a region of N keys",
			summary: "Removes every key of the region, on all nodes.",
			note:    removesObserved, write: flushDB},
		{name: "flushall", arity: -1, flags: "write", acl: "keyspace dangerous",
			tips: "request_policy:all_shards response_policy:all_succeeded", group: "server", since: "1.0.0", cost: "O(N) for N keys",
			summary: "Removes every key of every region, on all nodes, where the server's settings allow it.",
			note:    removesObserved, is: flagNoMulti, run: flushAll},
	}
}

func kindOf(c *client, v *crdt.View) { c.status(v.Kind(view(c.args[1])).String()) }

func exists(c *client, v *crdt.View) {
	n := int64(0)
	for _, key := range c.args[1:] {
		if v.Kind(view(key)) != crdt.KindNone {
			n++
		}
	}
	c.int(n)
}

func del(c *client, tx *crdt.Tx) {
	n := int64(0)
	for _, key := range c.args[1:] {
		if tx.Del(string(key)) {
			n++
		}
	}
	c.int(n)
}

// keys lists what it finds as it goes: the reply is all the memory that it takes. The walk ends where the reply is too
// large.
func keys(c *client, v *crdt.View) {
	pattern, n := view(c.args[1]), 0
	at := c.openHeader()
	for cursor, first := uint64(0), true; (first || cursor != 0) && !c.overflowed; first = false {
		cursor = v.Scan(cursor, keysStep, func(key string, _ crdt.Kind) {
			if globMatch(pattern, key, false) {
				n++
				c.bulkString(key)
			}
		})
	}
	c.closeArray(at, n)
}

// keysStep is how many keys KEYS looks at before it sees whether its reply has grown too large.
const keysStep = 4096

// bulks answers with an array of strings.
func (c *client) bulks(all []string) {
	c.array(len(all))
	for _, s := range all {
		if c.bulkString(s); c.overflowed {
			return
		}
	}
}

func flushDB(c *client, tx *crdt.Tx) {
	if c.flushModeOK() {
		tx.Flush()
		c.ok()
	}
}

// flushModeOK checks the one argument of FLUSHDB and FLUSHALL. Both modes are the same here: the flush
// is one delta, and removed values are freed by the garbage collector.
func (c *client) flushModeOK() bool {
	if len(c.args) == 1 {
		return true
	}
	if len(c.args) == 2 && (bytes.EqualFold(c.args[1], []byte("async")) || bytes.EqualFold(c.args[1], []byte("sync"))) {
		return true
	}
	c.fail(errSyntax)
	return false
}

func flushAll(c *client) {
	if !c.srv.cfg.FlushAll {
		c.fail("ERR 'flushall' not supported by edgemem: it would empty every region on every node; SELECT a region and FLUSHDB it, or allow it in this server's settings")
		return
	}
	if !c.flushModeOK() {
		return
	}
	for _, status := range c.srv.cfg.Fabric.Regions() {
		if err := c.flushRegion(status.Name); err != nil {
			c.fail("ERR " + err.Error())
			return
		}
	}
	c.ok()
}

// flushRegion empties one region; the reply under way waits for its acknowledgement.
func (c *client) flushRegion(name string) error {
	region, err := c.srv.cfg.Fabric.Region(name)
	if err != nil {
		return err
	}
	commit, err := region.ApplyShrinking(func(tx *crdt.Tx) error { tx.Flush(); return nil })
	if err != nil {
		return err
	}
	return commit.Wait(c.srv.ackCtx)
}
