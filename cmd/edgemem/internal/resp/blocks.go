package resp

import (
	"bytes"
	"errors"

	"github.com/edgemem/edgemem/crdt"
)

const blockNote = "Merged by pages of 4096 bytes: writes to different pages both survive; of those to one page the last by hybrid clock shows, the others stay until a later write to it covers them (EM.BLOCK SIBLINGS)."

func blockCommands() []*command {
	sub := func(name string, arity int, flags, access, cost, summary, note string) *command {
		return &command{name: "em.block|" + name, arity: arity, flags: flags, keys: keyAt(2, access), group: "generic", since: "0.1.0",
			cost: cost, summary: summary, note: note}
	}
	reads := func(cmd *command, run func(c *client, v *crdt.View)) *command { cmd.read = run; return cmd }
	writes := func(cmd *command, run func(c *client, tx *crdt.Tx)) *command { cmd.write = run; return cmd }
	return []*command{
		{name: "em.block", arity: -3, group: "generic", since: "0.1.0", cost: "by subcommand",
			summary: "Commands about blocks: memory addressed by bytes, of up to 1 GiB.", subs: []*command{
				writes(sub("alloc", 4, "write denyoom fast", "RW insert", "O(1)",
					"Makes a block of so many bytes, all zero, or one that is there as long as that: EM.BLOCK ALLOC key bytes. Answers its length.",
					"The longest wins; a block never becomes shorter. What nobody wrote to takes no memory."), blockAlloc),
				writes(sub("write", 5, "write denyoom", "RW update", "O(N) for N bytes",
					"Writes within a block: EM.BLOCK WRITE key offset data, of at most 1 MiB. Answers how many bytes.",
					blockNote+" Wins over a concurrent removal of the block, as far as it wrote."), blockWrite),
				reads(sub("read", 5, "readonly", "RO access", "O(N) for N bytes",
					"Reads from a block: EM.BLOCK READ key offset length. Fewer bytes at its end; null where there is no block.", ""), blockRead),
				writes(sub("free", 3, "write", "RM delete", "O(N) for N pages", "Removes a block. Answers whether there was one.", removesObserved), blockFree),
				reads(sub("len", 3, "readonly fast", "RO", "O(1)", "Tells the length of a block, or null.", ""), blockLen),
				reads(sub("info", 3, "readonly", "RO", "O(N) for N pages",
					"Tells the length of a block, how many pages were written, their bytes, and how many have concurrent siblings.", localView), blockInfo),
				reads(sub("siblings", 4, "readonly", "RO access", "O(N) for N siblings",
					"Lists the concurrent versions of the page at an offset, without zeros at the end, the one that shows first: EM.BLOCK SIBLINGS key offset.",
					"More than one until a later write to the page covers them."), blockSiblings),
			}},
	}
}

// failBlock answers why a block cannot be read or written.
func (c *client) failBlock(err error) {
	switch {
	case errors.Is(err, crdt.ErrNoBlock):
		c.fail(errNoKey)
	case errors.Is(err, crdt.ErrAway): // it is run again
	default:
		c.failList(err)
	}
}

func blockAlloc(c *client, tx *crdt.Tx) {
	size, ok := c.integer(3)
	if !ok {
		return
	}
	length, err := tx.BlockAlloc(string(c.args[2]), size)
	if err != nil {
		c.failBlock(err)
		return
	}
	c.int(length)
}

func blockWrite(c *client, tx *crdt.Tx) {
	offset, ok := c.integer(3)
	if !ok || !c.valueFits(c.args[4]) {
		return
	}
	if err := tx.BlockWrite(string(c.args[2]), offset, c.args[4]); err != nil {
		c.failBlock(err)
		return
	}
	c.int(int64(len(c.args[4])))
}

func blockRead(c *client, v *crdt.View) {
	key := view(c.args[2])
	offset, ok := c.integer(3)
	if !ok {
		return
	}
	n, ok := c.integer(4)
	if !ok {
		return
	}
	length, there, err := v.BlockLen(key)
	switch {
	case err != nil:
		c.failBlock(err)
		return
	case !there:
		c.null()
		return
	case n < 0:
		c.fail("ERR value is out of range, must be positive")
		return
	}
	n = min(n, max(length-offset, 0))
	if offset < 0 || !c.room(int(min(n, length))) {
		n = 0
	}
	buf := make([]byte, n)
	if _, err := v.BlockRead(key, offset, buf); err != nil {
		c.failBlock(err)
		return
	}
	c.bulk(buf)
}

func blockFree(c *client, tx *crdt.Tx) {
	key := string(c.args[2])
	if _, _, err := tx.BlockLen(key); err != nil {
		c.failBlock(err)
		return
	}
	c.bool01(tx.Del(key))
}

func blockLen(c *client, v *crdt.View) {
	length, ok, err := v.BlockLen(view(c.args[2]))
	switch {
	case err != nil:
		c.failBlock(err)
	case !ok:
		c.null()
	default:
		c.int(length)
	}
}

func blockInfo(c *client, v *crdt.View) {
	info, ok, err := v.BlockInfo(view(c.args[2]))
	switch {
	case err != nil:
		c.failBlock(err)
		return
	case !ok:
		c.nullArray()
		return
	}
	c.mapOf(5)
	for _, field := range []struct {
		name string
		n    int64
	}{
		{"length", info.Length}, {"page-bytes", crdt.PageBytes}, {"pages", int64(info.Pages)}, {"bytes", info.Bytes}, {"conflicts", int64(info.Conflicts)},
	} {
		c.bulkString(field.name)
		c.int(field.n)
	}
}

func blockSiblings(c *client, v *crdt.View) {
	offset, ok := c.integer(3)
	if !ok {
		return
	}
	if _, _, err := v.BlockLen(view(c.args[2])); err != nil {
		c.failBlock(err)
		return
	}
	all := v.BlockSiblings(view(c.args[2]), offset)
	c.array(len(all))
	for _, s := range all {
		c.bulk(s.Value)
	}
}

// blockCopyMax bounds what COPY and RENAME hold of a block while they copy it.
const blockCopyMax = 64 << 20

// blockCopier is copierOf of a block. Pages are written to as one.
func (c *client) blockCopier(tx *crdt.Tx, from string) (put func(to string), ok bool) {
	info, _, _ := tx.BlockInfo(from)
	if info.Bytes > blockCopyMax {
		c.failf("ERR '%s' of a block that holds %d bytes not supported by edgemem: the most is %d", c.cmd.name, info.Bytes, blockCopyMax)
		return nil, false
	}
	type page struct {
		offset int64
		val    []byte
	}
	var pages []page
	if c.unreadable(tx.BlockEach(from, func(offset int64, val []byte) bool {
		pages = append(pages, page{offset, bytes.Clone(val)})
		return true
	})) {
		return nil, false
	}
	return func(to string) {
		_, _ = tx.BlockAlloc(to, info.Length)
		for _, p := range pages {
			_ = tx.BlockWrite(to, p.offset, p.val[:min(int64(len(p.val)), info.Length-p.offset)])
		}
	}, true
}
