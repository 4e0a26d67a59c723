package resp

import (
	"strings"
	"testing"
)

func TestBlocks(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("nil", "em.block", "read", "b", "0", "10")
	p.want("nil", "em.block", "len", "b")
	p.want("-"+errNoKey, "em.block", "write", "b", "0", "x")
	p.want(":1073741824", "em.block", "alloc", "b", "1073741824")
	p.want(":1073741824", "em.block", "alloc", "b", "5")
	p.want(":5", "em.block", "write", "b", "4094", "hello")
	p.want(`"\x00hello\x00"`, "em.block", "read", "b", "4093", "7")
	p.want(":3", "em.block", "write", "b", "1073741821", "end")
	p.want(`"end"`, "em.block", "read", "b", "1073741821", "100")
	p.want(`""`, "em.block", "read", "b", "1073741824", "1")
	p.want(`*["length" :1073741824 "page-bytes" :4096 "pages" :3 "bytes" :8195 "conflicts" :0]`, "em.block", "info", "b")
	p.want("+block", "type", "b")
	p.want(`*["llo"]`, "em.block", "siblings", "b", "8191")
	for _, c := range []struct{ want, line string }{
		{errWrongType, "get b"},
		{errNotInteger, "em.block read b x 1"},
		{"ERR value is out of range, must be positive", "em.block read b 0 -1"},
		{"ERR crdt: outside of the block: offset -1 of a block of 1073741824", "em.block read b -1 1"},
		{"ERR crdt: outside of the block: offset 9223372036854775807 of a block of 1073741824", "em.block read b 9223372036854775807 9223372036854775807"},
		{"ERR crdt: outside of the block: 2 bytes at 1073741823 of a block of 1073741824", "em.block write b 1073741823 xx"},
		{"ERR crdt: outside of the block: a length of 1073741825 bytes, the most is 1073741824", "em.block alloc b 1073741825"},
	} {
		p.want("-"+c.want, strings.Fields(c.line)...)
	}
	if r := p.do("em.block", "read", "b", "0", "1073741824"); r.kind != '-' || !strings.Contains(r.text, "larger than") {
		t.Errorf("a gigabyte in one reply: %.100v", r)
	}
	p.want(":1", "copy", "b", "c")
	p.want(`"hello"`, "em.block", "read", "c", "4094", "5")
	p.want(":1", "em.block", "free", "b")
	p.want(":0", "em.block", "free", "b")
	p.want("+OK", "rename", "c", "b")
	p.want(`"end"`, "em.block", "read", "b", "1073741821", "3")
	p.want("+OK", "set", "s", "x")
	p.want("-"+errWrongType, "em.block", "free", "s")
	p.want("-"+errWrongType, "em.block", "alloc", "s", "1")
}
