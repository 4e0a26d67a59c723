package resp

import (
	"math"

	"github.com/edgemem/edgemem/crdt"
)

// jsonValues reads the JSON in args[from:].
func (c *client) jsonValues(from int) (vals []crdt.JSONNode, ok bool) {
	for i := from; i < len(c.args); i++ {
		val, ok := c.jsonValue(i)
		if !ok {
			return nil, false
		}
		vals = append(vals, val)
	}
	return vals, true
}

// index reads an index at args[i].
func (c *client) index(i int) (n int, ok bool) {
	x, ok := c.integer(i)
	return int(min(max(x, math.MinInt32), math.MaxInt32)), ok
}

// perArray is perNode of arrays.
func (c *client) perArray(v *crdt.View, p *jsonPath, fn func(key string, n *crdt.JSONNode) (jsonAnswer, error)) {
	c.perNode(v, p, "array", func(key string, n *crdt.JSONNode) (jsonAnswer, error) {
		if n.Type != crdt.JSONArray {
			return nil, nil
		}
		return fn(key, n)
	})
}

func jsonArrAppend(c *client, tx *crdt.Tx) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	vals, ok := c.jsonValues(3)
	if !ok {
		return
	}
	c.perArray(&tx.View, &p, func(key string, n *crdt.JSONNode) (jsonAnswer, error) {
		return c.answerInt(len(n.Nodes) + len(vals)), tx.JSONInsert(key, n, len(n.Nodes), vals)
	})
}

func jsonArrInsert(c *client, tx *crdt.Tx) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	at, ok := c.index(3)
	if !ok {
		return
	}
	vals, ok := c.jsonValues(4)
	if !ok || !c.allArraysReach(tx, &p, at) {
		return
	}
	c.perArray(&tx.View, &p, func(key string, n *crdt.JSONNode) (jsonAnswer, error) {
		return c.answerInt(len(n.Nodes) + len(vals)), tx.JSONInsert(key, n, rankOf(at, len(n.Nodes)), vals)
	})
}

// rankOf is an index in an array of n, counted from the end where it is negative.
func rankOf(i, n int) int {
	if i < 0 {
		return i + n
	}
	return i
}

// allArraysReach checks, before anything is written, that an index is one in each array.
func (c *client) allArraysReach(tx *crdt.Tx, p *jsonPath, at int) bool {
	nodes, _, ok := c.selectedJSON(&tx.View, view(c.args[1]), p)
	for _, n := range nodes {
		if r := rankOf(at, len(n.Nodes)); n.Type == crdt.JSONArray && (r < 0 || r > len(n.Nodes)) {
			c.fail(errArrayOutside)
			return false
		}
	}
	return ok
}

func jsonArrPop(c *client, tx *crdt.Tx) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	at := -1
	if len(c.args) > 4 {
		c.fail("ERR wrong number of arguments for 'json.arrpop' command")
		return
	}
	if len(c.args) == 4 {
		if at, ok = c.index(3); !ok {
			return
		}
	}
	c.perArray(&tx.View, &p, func(key string, n *crdt.JSONNode) (jsonAnswer, error) {
		if len(n.Nodes) == 0 {
			return c.null, nil
		}
		x := &n.Nodes[min(max(rankOf(at, len(n.Nodes)), 0), len(n.Nodes)-1)]
		_, err := tx.JSONDelete(key, x.Path)
		return func() { c.json(x, crdt.JSONStyle{}) }, err
	})
}

func jsonArrTrim(c *client, tx *crdt.Tx) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	start, ok := c.index(3)
	if !ok {
		return
	}
	stop, ok := c.index(4)
	if !ok {
		return
	}
	c.perArray(&tx.View, &p, func(key string, n *crdt.JSONNode) (jsonAnswer, error) {
		from, upto := max(rankOf(start, len(n.Nodes)), 0), min(rankOf(stop, len(n.Nodes)), len(n.Nodes)-1)
		kept := 0
		for i := range n.Nodes {
			if i >= from && i <= upto {
				kept++
				continue
			}
			if _, err := tx.JSONDelete(key, n.Nodes[i].Path); err != nil {
				return nil, err
			}
		}
		return c.answerInt(kept), nil
	})
}

func jsonArrIndex(c *client, v *crdt.View) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	val, ok := c.jsonValue(3)
	if !ok {
		return
	}
	start, stop := 0, 0
	if len(c.args) > 4 {
		if start, ok = c.index(4); !ok {
			return
		}
	}
	if len(c.args) > 5 {
		if stop, ok = c.index(5); !ok {
			return
		}
	}
	c.perArray(v, &p, func(_ string, n *crdt.JSONNode) (jsonAnswer, error) {
		return c.answerInt(indexOfJSON(n, &val, start, stop)), nil
	})
}

// indexOfJSON finds a value in an array from start on, and before stop where that is not 0; -1 where it is not there.
func indexOfJSON(n, val *crdt.JSONNode, start, stop int) int {
	size := len(n.Nodes)
	from, upto := max(rankOf(start, size), 0), min(rankOf(stop, size), size)
	if stop == 0 {
		upto = size
	}
	for i := from; i < upto; i++ {
		if n.Nodes[i].Equal(val) {
			return i
		}
	}
	return -1
}
