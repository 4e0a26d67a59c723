package resp

import (
	"strings"
	"testing"
)

func TestBounded(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("nil", "em.bound", "get", "b")
	p.want("-"+errNoKey, "em.bound", "decr", "b")
	p.want("+OK", "em.bound", "new", "b", "10", "min", "0")
	p.want(":6", "EM.BOUND", "DECR", "b", "4")
	p.want(":7", "em.bound", "incr", "b")
	p.want(`*["value" :7 "min" :0 "rights" :7]`, "em.bound", "get", "b")
	p.want("-NORIGHTS the limit is 7 away as far as this node knows, and this takes 8", "em.bound", "decr", "b", "8")
	for _, x := range []struct{ want, line string }{
		{"ERR crdt: there is a bounded counter", "em.bound new b 1 min 0"},
		{"ERR crdt: the value is beyond the limit", "em.bound new c 1 min 2"},
		{errSyntax, "em.bound new c 1 mid 2"},
		{errNotInteger, "em.bound new c x min 2"},
		{errNotInteger, "em.bound decr b x"},
		{errSyntax, "em.bound decr b 1 2"},
		{"ERR increment or decrement would overflow", "em.bound decr b -9223372036854775808"},
		{"ERR increment or decrement would overflow", "em.bound incr b 9223372036854775807"},
		{errWrongType, "incr b"},
		{"ERR fabric: no such node: \"nobody\"", "em.bound give b nobody 1"},
	} {
		p.want("-"+x.want, strings.Fields(x.line)...)
	}
	p.want("+bounded", "type", "b")
	p.want(`"row"`, "object", "encoding", "b")
	p.want(":1", "copy", "b", "c")
	p.want(`*["value" :7 "min" :0 "rights" :7]`, "em.bound", "get", "c")
	if r := p.do("memory", "usage", "c"); r.kind != ':' {
		t.Error(r)
	}
	p.want("+OK", "rename", "c", "d")
	p.want(":7", "em.bound", "renew", "d")
	p.want("+OK", "em.bound", "new", "m", "3", "max", "5")
	p.want(":5", "em.bound", "incr", "m", "2")
	p.want("-NORIGHTS the limit is 0 away as far as this node knows, and this takes 1", "em.bound", "incr", "m")
	if r := p.do("em.bound", "rights", "b"); len(r.items) != 1 || len(r.items[0].items) != 3 || r.items[0].items[2].String() != ":7" {
		t.Errorf("rights: %v", r)
	}
	p.want("+OK", "multi")
	p.want("+QUEUED", "em.bound", "decr", "b")
	p.want("*[:6]", "exec")
	p.want(":2", "del", "b", "m")
	p.want("-"+errNoKey, "em.bound", "incr", "b")
}

// TestBoundedBetweenNodes: who is short is told so, and gets some of the other's.
func TestBoundedBetweenNodes(t *testing.T) {
	t.Parallel()
	_, there, _, a, b, _ := apartNodes(t)
	a.want("+OK", "em.bound", "new", "seats", "100", "min", "0")
	awaitReply(t, there, b, `*["value" :100 "min" :0 "rights" :0]`, "em.bound", "get", "seats")
	b.want("-NORIGHTS 0 of the 3 rights that this takes are here, of 100 in all; other nodes are asked for some: try again", "em.bound", "decr", "seats", "3")
	awaitReply(t, there, b, ":97", "em.bound", "decr", "seats", "3")
	b.want(":7", "em.bound", "give", "seats", "a", "7")
	b.want(`*[*["a" "a" :57] *["b" "b" :40]]`, "em.bound", "rights", "seats")
	b.want("+OK", "multi")
	if r := b.do("em.bound", "rights", "seats"); r.kind != '-' {
		t.Error(r)
	}
}
