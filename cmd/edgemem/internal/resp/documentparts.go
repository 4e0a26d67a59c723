package resp

import (
	"errors"
	"math"
	"slices"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
)

// An answer writes what a command says of one node; nil: it is of another type.
type jsonAnswer func()

// perNode answers a command that does one thing to each node that a path selects: with a list of all, or, of a path of the first
// version, with one. Of nodes of another type than wanted it says null, or an error. Nodes below others come first, so that no write
// takes away what another is for.
func (c *client) perNode(v *crdt.View, p *jsonPath, wanted string, fn func(key string, n *crdt.JSONNode) (jsonAnswer, error)) {
	key := string(c.args[1])
	nodes, there, ok := c.selectedJSON(v, key, p)
	switch {
	case !ok:
		return
	case !there && c.cmd.write != nil:
		c.fail(errNoDocument)
		return
	case !there:
		c.null()
		return
	case p.legacy && len(nodes) == 0:
		c.noPath(p)
		return
	}
	answers := make([]jsonAnswer, len(nodes))
	for i, n := range slices.Backward(nodes) {
		answer, err := fn(key, n)
		if err != nil {
			c.failJSON(err)
			return
		}
		answers[i] = answer
	}
	if p.legacy {
		c.oneAnswer(nodes, answers, wanted)
		return
	}
	c.array(len(answers))
	for _, answer := range answers {
		if answer == nil {
			if !c.room(8) {
				return
			}
			c.null()
			continue
		}
		if answer(); c.overflowed {
			return
		}
	}
}

// oneAnswer is the first of those to nodes of the right type.
func (c *client) oneAnswer(nodes []*crdt.JSONNode, answers []jsonAnswer, wanted string) {
	for _, answer := range answers {
		if answer != nil {
			answer()
			return
		}
	}
	c.fail("WRONGTYPE wrong type of path value - expected " + wanted + " but found " + typeOfJSON(nodes[0]))
}

// typeOfJSON is RedisJSON's name of a type.
func typeOfJSON(n *crdt.JSONNode) string {
	switch n.Type {
	case crdt.JSONBool:
		return "boolean"
	case crdt.JSONNumber:
		if n.Integer() {
			return "integer"
		}
		return "number"
	case crdt.JSONString:
		return "string"
	case crdt.JSONArray:
		return "array"
	case crdt.JSONObject:
		return "object"
	}
	return "null"
}

// answerInt is an answer of a number.
func (c *client) answerInt(n int) jsonAnswer { return func() { c.int(int64(n)) } }

// lengths answers with a number for each node of a type.
func (c *client) lengths(v *crdt.View, want crdt.JSONType, name string, of func(n *crdt.JSONNode) int) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	c.perNode(v, &p, name, func(_ string, n *crdt.JSONNode) (jsonAnswer, error) {
		if n.Type != want {
			return nil, nil
		}
		return c.answerInt(of(n)), nil
	})
}

func jsonStrLen(c *client, v *crdt.View) {
	c.lengths(v, crdt.JSONString, "string", func(n *crdt.JSONNode) int { return len(n.Text) })
}

func jsonObjLen(c *client, v *crdt.View) {
	c.lengths(v, crdt.JSONObject, "object", func(n *crdt.JSONNode) int { return len(n.Nodes) })
}

func jsonArrLen(c *client, v *crdt.View) {
	c.lengths(v, crdt.JSONArray, "array", func(n *crdt.JSONNode) int { return len(n.Nodes) })
}

func jsonType(c *client, v *crdt.View) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	nodes, there, ok := c.selectedJSON(v, view(c.args[1]), &p)
	if !ok {
		return
	}
	if c.resp3 {
		c.array(1) // as RedisJSON does
	}
	switch {
	case !there, p.legacy && len(nodes) == 0:
		c.null()
		return
	case p.legacy:
		c.bulkString(typeOfJSON(nodes[0]))
		return
	}
	c.array(len(nodes))
	for _, n := range nodes {
		if c.bulkString(typeOfJSON(n)); c.overflowed {
			return
		}
	}
}

func jsonObjKeys(c *client, v *crdt.View) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	c.perNode(v, &p, "object", func(_ string, n *crdt.JSONNode) (jsonAnswer, error) {
		if n.Type != crdt.JSONObject {
			return nil, nil
		}
		return func() {
			c.array(len(n.Nodes))
			for i := range n.Nodes {
				if c.bulkString(n.Nodes[i].Name); c.overflowed {
					return
				}
			}
		}, nil
	})
}

func jsonToggle(c *client, tx *crdt.Tx) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	c.perNode(&tx.View, &p, "boolean", func(key string, n *crdt.JSONNode) (jsonAnswer, error) {
		if n.Type != crdt.JSONBool {
			return nil, nil
		}
		on := n.Text != "true"
		err := tx.JSONSet(key, n.Path, &crdt.JSONNode{Type: crdt.JSONBool, Text: strconv.FormatBool(on)})
		if p.legacy {
			return func() { c.bulkString(strconv.FormatBool(on)) }, err
		}
		return c.answerInt(zeroOne(on)), err
	})
}

func jsonClear(c *client, tx *crdt.Tx) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	key := string(c.args[1])
	nodes, there, ok := c.selectedJSON(&tx.View, key, &p)
	switch {
	case !ok:
		return
	case !there:
		c.fail(errNoDocument)
		return
	}
	cleared := 0
	for _, n := range slices.Backward(nodes) {
		empty := crdt.JSONNode{Type: n.Type}
		switch n.Type {
		case crdt.JSONArray, crdt.JSONObject:
		case crdt.JSONNumber:
			empty.Text = "0"
		default:
			continue
		}
		if n.Equal(&empty) {
			continue
		}
		if err := tx.JSONSet(key, n.Path, &empty); err != nil {
			c.failJSON(err)
			return
		}
		cleared++
	}
	c.int(int64(cleared))
}

func jsonIncr(c *client, tx *crdt.Tx) {
	c.arithmetic(tx, func(key string, n *crdt.JSONNode, by string) (string, error) { return tx.JSONIncr(key, n.Path, by) })
}

func jsonMultiply(c *client, tx *crdt.Tx) {
	c.arithmetic(tx, func(key string, n *crdt.JSONNode, by string) (string, error) {
		product, err := productOf(n.Text, by)
		if err != nil {
			return "", err
		}
		return product, tx.JSONSet(key, n.Path, &crdt.JSONNode{Type: crdt.JSONNumber, Text: product})
	})
}

// productOf multiplies whole numbers as such where that fits 64 bits, and others as float64.
func productOf(a, b string) (string, error) {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if p := x * y; errX == nil && errY == nil && (x == 0 || p/x == y && !(x == -1 && y == math.MinInt64)) {
		return strconv.FormatInt(p, 10), nil
	}
	f, errF := strconv.ParseFloat(a, 64)
	g, errG := strconv.ParseFloat(b, 64)
	if errors.Join(errF, errG) != nil || math.IsInf(f*g, 0) {
		return "", crdt.ErrOverflow
	}
	return crdt.JSONFloat(f * g), nil
}

// arithmetic changes the numbers at a path by the one at args[3]. RESP2 has the results as JSON, RESP3 as numbers.
func (c *client) arithmetic(tx *crdt.Tx, fn func(key string, n *crdt.JSONNode, by string) (string, error)) {
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	by, ok := c.jsonValue(3)
	if !ok {
		return
	}
	if by.Type != crdt.JSONNumber {
		c.fail(errNotFloat)
		return
	}
	results := crdt.JSONNode{Type: crdt.JSONArray}
	start := len(c.buf)
	c.perNode(&tx.View, &p, "number", func(key string, n *crdt.JSONNode) (jsonAnswer, error) {
		if n.Type != crdt.JSONNumber {
			results.Nodes = append(results.Nodes, crdt.JSONNode{})
			return nil, nil
		}
		result, err := fn(key, n, by.Text)
		results.Nodes = append(results.Nodes, crdt.JSONNode{Type: crdt.JSONNumber, Text: result})
		return func() { c.number(result) }, err
	})
	if c.resp3 || p.legacy || len(c.buf) == start || c.buf[start] != '*' {
		return
	}
	c.buf = c.buf[:start]
	slices.Reverse(results.Nodes) // those below others came first
	c.json(&results, crdt.JSONStyle{})
}

// number answers with a number of JSON.
func (c *client) number(text string) {
	if !c.resp3 {
		c.bulkString(text)
		return
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		c.int(n)
		return
	}
	f, _ := strconv.ParseFloat(text, 64)
	c.double(f)
}

func jsonStrAppend(c *client, tx *crdt.Tx) {
	at := len(c.args) - 1
	p, ok := c.jsonPath(2)
	if at == 2 {
		p, ok = jsonPath{text: "$", legacy: true}, true
	}
	if !ok {
		return
	}
	more, ok := c.jsonValue(at)
	switch {
	case !ok:
		return
	case len(c.args) > 4:
		c.fail("ERR wrong number of arguments for 'json.strappend' command")
		return
	case more.Type != crdt.JSONString:
		c.fail("WRONGTYPE wrong type of value - expected string but found " + typeOfJSON(&more))
		return
	}
	c.perNode(&tx.View, &p, "string", func(key string, n *crdt.JSONNode) (jsonAnswer, error) {
		if n.Type != crdt.JSONString {
			return nil, nil
		}
		val := crdt.JSONNode{Type: crdt.JSONString, Text: n.Text + more.Text}
		return c.answerInt(len(val.Text)), tx.JSONSet(key, n.Path, &val)
	})
}
