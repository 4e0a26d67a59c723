package resp

import (
	"errors"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

const (
	jsonNote    = "Merged by path: changes to different paths never conflict; of one path the last scalar shows, an array over it, an object over both, and what does not show is kept until a write there, above or below."
	jsonRemoves = "Removes what this node has seen; what is written below it concurrently elsewhere stays, with the containers around it."
	jsonLists   = "Arrays are sequences as lists are: elements of both sides stay, concurrent runs do not interleave, and an index means this node's view."
	jsonAdds    = "Decimals of up to 17 places without an exponent are counters: every increment counts, once. Others are rounded to a float64, and the last writer wins."
)

// jsonSince is the version of RedisJSON whose commands these are.
const jsonSince = "1.0.0"

func jsonCommands() []*command {
	reads := func(name string, arity int, summary string, run func(c *client, v *crdt.View)) *command {
		return &command{name: name, arity: arity, flags: "readonly", keys: oneKey("RO access"), group: "json", since: jsonSince,
			cost: "O(N) for N nodes below the path's first wildcard or index", summary: summary, read: run}
	}
	writes := func(name string, arity int, flags, summary, note string, run func(c *client, tx *crdt.Tx)) *command {
		return &command{name: name, arity: arity, flags: flags, keys: oneKey("RW access update"), group: "json", since: jsonSince,
			cost: "O(N) for N nodes that are looked at or written", summary: summary, note: note, write: run}
	}
	const grows, shrinks = "write denyoom", "write"
	return []*command{
		writes("json.set", -4, grows, "Writes JSON at a path of a document: JSON.SET key path value [NX|XX].", jsonNote+" NX and XX: "+localCheck, jsonSet),
		reads("json.get", -2, "Reads the values at paths: JSON.GET key [INDENT text] [NEWLINE text] [SPACE text] [path ...]. Fields are in the order of their names.", jsonGet),
		{name: "json.mget", arity: -3, flags: "readonly", keys: keySpec{first: 1, last: -2, step: 1, access: "RO access"}, group: "json", since: jsonSince,
			cost: "O(N) for N nodes", summary: "Reads the values at one path of several documents.", read: jsonMGet},
		writes("json.del", -2, shrinks, "Removes the values at a path, or the document. Answers how many.", jsonRemoves, jsonDel),
		writes("json.forget", -2, shrinks, "The same as JSON.DEL.", jsonRemoves, jsonDel),
		writes("json.merge", 4, grows, "Merges JSON into the values at a path, as RFC 7396 says: null removes.", "Writes only what differs. "+jsonNote, jsonMerge),
		reads("json.type", -2, "Tells what is at a path: object, array, string, integer, number, boolean or null.", jsonType),
		writes("json.clear", -2, shrinks, "Empties objects and arrays at a path, and makes numbers 0. Answers how many changed.", jsonRemoves, jsonClear),
		writes("json.numincrby", 4, grows, "Adds to the numbers at a path.", jsonAdds, jsonIncr),
		writes("json.nummultby", 4, grows, "Multiplies the numbers at a path.", "Writes the product: the last writer wins.", jsonMultiply),
		writes("json.toggle", -2, grows, "Turns true to false at a path, and false to true.", "Writes what it is not here: two at once are one.", jsonToggle),
		reads("json.strlen", -2, "Counts the bytes of the strings at a path.", jsonStrLen),
		writes("json.strappend", -3, grows, "Adds to the end of the strings at a path: JSON.STRAPPEND key [path] value.", "Writes the whole string: the last writer wins.", jsonStrAppend),
		reads("json.objkeys", -2, "Lists the names of the fields of the objects at a path.", jsonObjKeys),
		reads("json.objlen", -2, "Counts the fields of the objects at a path.", jsonObjLen),
		reads("json.arrlen", -2, "Counts the elements of the arrays at a path.", jsonArrLen),
		reads("json.arrindex", -4, "Finds a value in the arrays at a path: JSON.ARRINDEX key path value [start [stop]].", jsonArrIndex),
		writes("json.arrappend", -4, grows, "Adds values to the end of the arrays at a path.", jsonLists, jsonArrAppend),
		writes("json.arrinsert", -5, grows, "Puts values before an index of the arrays at a path.", jsonLists, jsonArrInsert),
		writes("json.arrpop", -2, shrinks, "Removes and returns an element of the arrays at a path, the last unless an index is given.", jsonLists+" Two nodes may pop one element.", jsonArrPop),
		writes("json.arrtrim", 5, shrinks, "Removes all but a range of the elements of the arrays at a path.", jsonLists, jsonArrTrim),
	}
}

const (
	errNoDocument   = "ERR could not perform this operation on a key that doesn't exist"
	errNewDocument  = "ERR new objects must be created at the root"
	errDynamicPath  = "ERR wrong static path"
	errArrayOutside = "ERR index out of bounds"
)

// failJSON answers what the region says against a read or a write.
func (c *client) failJSON(err error) {
	switch {
	case errors.Is(err, crdt.ErrWrongType):
		c.fail(errWrongType)
	case errors.Is(err, crdt.ErrOverflow):
		c.fail("ERR result is not a number")
	default:
		c.fail("ERR " + err.Error())
	}
}

// jsonPath reads the path at args[i], or the root where there is none.
func (c *client) jsonPath(i int) (p jsonPath, ok bool) {
	text := "."
	if i < len(c.args) {
		text = string(c.args[i])
	}
	p, err := parseJSONPath(text)
	if err != nil {
		c.fail("ERR JSONPath: " + err.Error())
	}
	return p, err == nil
}

// jsonValue reads the JSON at args[i].
func (c *client) jsonValue(i int) (n crdt.JSONNode, ok bool) {
	n, err := crdt.ParseJSON(c.args[i])
	if err != nil {
		c.fail("ERR " + err.Error())
	}
	return n, err == nil
}

// selectedJSON gives the nodes that a path selects in a document; there is false where there is no document. It answers errors.
func (c *client) selectedJSON(v *crdt.View, key string, p *jsonPath) (nodes []*crdt.JSONNode, there, ok bool) {
	switch v.Kind(key) {
	case crdt.KindNone:
		return nil, false, true
	case crdt.KindJSON:
	default:
		c.fail(errWrongType)
		return nil, false, false
	}
	stem, rest := p.stem()
	root, found, err := v.JSON(key, stem)
	if err == nil && found {
		nodes, err = selectJSON(&root, rest)
	}
	if err != nil {
		c.failJSON(err)
		return nil, false, false
	}
	return nodes, true, true
}

// noPath answers that a path of the first version leads nowhere.
func (c *client) noPath(p *jsonPath) { c.fail("ERR Path '" + p.text + "' does not exist") }

func jsonSet(c *client, tx *crdt.Tx) {
	key := string(c.args[1])
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	val, ok := c.jsonValue(3)
	if !ok {
		return
	}
	nx, xx := false, false
	if len(c.args) > 4 {
		nx, xx = equalFold(c.args[4], "nx"), equalFold(c.args[4], "xx")
		if len(c.args) > 5 || !nx && !xx {
			c.fail(errSyntax)
			return
		}
		if !c.localCheckAllowed("json.set") {
			return
		}
	}
	if len(p.steps) == 0 && tx.Kind(key) == crdt.KindNone {
		c.setRoot(tx, key, &val, xx)
		return
	}
	nodes, there, ok := c.selectedJSON(&tx.View, key, &p)
	switch {
	case !ok:
	case !there:
		c.fail(errNewDocument)
	case len(nodes) > 0 && nx, len(nodes) == 0 && xx:
		c.null()
	case len(nodes) > 0:
		c.setAll(tx, key, nodes, &val)
	default:
		c.addField(tx, key, &p, &val)
	}
}

// setRoot makes a new document.
func (c *client) setRoot(tx *crdt.Tx, key string, val *crdt.JSONNode, xx bool) {
	if xx {
		c.null()
		return
	}
	if err := tx.JSONSet(key, "", val); err != nil {
		c.failJSON(err)
		return
	}
	c.ok()
}

// setAll writes a value to each of some nodes; those below others first.
func (c *client) setAll(tx *crdt.Tx, key string, nodes []*crdt.JSONNode, val *crdt.JSONNode) {
	for _, n := range slices.Backward(nodes) {
		if err := tx.JSONSet(key, n.Path, val); err != nil {
			c.failJSON(err)
			return
		}
	}
	c.ok()
}

// addField writes a new field of the object that a path leads to.
func (c *client) addField(tx *crdt.Tx, key string, p *jsonPath, val *crdt.JSONNode) {
	name, isField := p.field()
	switch {
	case !p.static():
		c.fail(errDynamicPath)
		return
	case !isField:
		c.null()
		return
	}
	above := *p
	above.steps = p.steps[:len(p.steps)-1]
	nodes, _, ok := c.selectedJSON(&tx.View, key, &above)
	if !ok {
		return
	}
	if len(nodes) == 0 || nodes[0].Type != crdt.JSONObject {
		c.null()
		return
	}
	if err := tx.JSONSet(key, crdt.JSONField(nodes[0].Path, name), val); err != nil {
		c.failJSON(err)
		return
	}
	c.ok()
}

// jsonGetting is what JSON.GET is asked for.
type jsonGetting struct {
	style crdt.JSONStyle
	paths []jsonPath
}

func (c *client) jsonGetting() (g jsonGetting, ok bool) {
	for i := 2; i < len(c.args); i++ {
		word, more := lowerWord(c.args[i]), i+1 < len(c.args)
		switch {
		case word == "indent" && more:
			i++
			g.style.Indent = string(c.args[i])
		case word == "newline" && more:
			i++
			g.style.Newline = string(c.args[i])
		case word == "space" && more:
			i++
			g.style.Space = string(c.args[i])
		case word == "noescape":
		default:
			p, ok := c.jsonPath(i)
			if !ok {
				return g, false
			}
			g.paths = append(g.paths, p)
		}
	}
	if len(g.paths) == 0 {
		g.paths = []jsonPath{{text: "$", legacy: true}}
	}
	return g, true
}

func jsonGet(c *client, v *crdt.View) {
	key := view(c.args[1])
	g, ok := c.jsonGetting()
	if !ok {
		return
	}
	legacy := !slices.ContainsFunc(g.paths, func(p jsonPath) bool { return !p.legacy })
	out := crdt.JSONNode{Type: crdt.JSONObject}
	for i := range g.paths {
		p := &g.paths[i]
		nodes, there, ok := c.selectedJSON(v, key, p)
		switch {
		case !ok:
			return
		case !there:
			c.null()
			return
		case legacy && len(nodes) == 0:
			c.noPath(p)
			return
		}
		val := jsonList(nodes)
		if legacy {
			val = *nodes[0]
		}
		val.Name = p.asked
		out.Nodes = append(out.Nodes, val)
	}
	if len(out.Nodes) == 1 {
		out = out.Nodes[0]
	}
	c.json(&out, g.style)
}

// jsonList is an array of what was selected.
func jsonList(nodes []*crdt.JSONNode) crdt.JSONNode {
	out := crdt.JSONNode{Type: crdt.JSONArray, Nodes: make([]crdt.JSONNode, len(nodes))}
	for i, n := range nodes {
		out.Nodes[i] = *n
	}
	return out
}

// json answers with a text.
func (c *client) json(n *crdt.JSONNode, style crdt.JSONStyle) {
	c.bulk(n.Append(nil, style, c.limitBytes))
}

func jsonMGet(c *client, v *crdt.View) {
	p, ok := c.jsonPath(len(c.args) - 1)
	if !ok {
		return
	}
	keys := c.args[1 : len(c.args)-1]
	c.array(len(keys))
	for _, k := range keys {
		key := view(k)
		var nodes []*crdt.JSONNode
		there := v.Kind(key) == crdt.KindJSON
		if there {
			if nodes, _, ok = c.selectedJSON(v, key, &p); !ok {
				return
			}
		}
		switch {
		case !there, p.legacy && len(nodes) == 0:
			c.null()
		case p.legacy:
			c.json(nodes[0], crdt.JSONStyle{})
		default:
			all := jsonList(nodes)
			c.json(&all, crdt.JSONStyle{})
		}
		if c.overflowed {
			return
		}
	}
}

func jsonDel(c *client, tx *crdt.Tx) {
	key := string(c.args[1])
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	nodes, _, ok := c.selectedJSON(&tx.View, key, &p)
	if !ok {
		return
	}
	n := 0
	for _, x := range slices.Backward(nodes) {
		removed, err := tx.JSONDelete(key, x.Path)
		if err != nil {
			c.failJSON(err)
			return
		}
		if removed {
			n++
		}
	}
	c.int(int64(n))
}

func jsonMerge(c *client, tx *crdt.Tx) {
	key := string(c.args[1])
	p, ok := c.jsonPath(2)
	if !ok {
		return
	}
	patch, ok := c.jsonValue(3)
	if !ok {
		return
	}
	if len(p.steps) == 0 && tx.Kind(key) == crdt.KindNone {
		val := withoutNulls(patch)
		c.setRoot(tx, key, &val, false)
		return
	}
	nodes, there, ok := c.selectedJSON(&tx.View, key, &p)
	switch {
	case !ok:
		return
	case !there:
		c.fail(errNewDocument)
		return
	case len(nodes) == 0:
		val := withoutNulls(patch)
		c.addField(tx, key, &p, &val)
		return
	}
	for _, n := range slices.Backward(nodes) {
		if err := mergeJSON(tx, key, n, &patch); err != nil {
			c.failJSON(err)
			return
		}
	}
	c.ok()
}

// mergeJSON makes a node what RFC 7396 says, and writes nothing that stays as it is.
func mergeJSON(tx *crdt.Tx, key string, n, patch *crdt.JSONNode) error {
	switch {
	case patch.Type == crdt.JSONNull:
		_, err := tx.JSONDelete(key, n.Path)
		return err
	case patch.Type != crdt.JSONObject || n.Type != crdt.JSONObject:
		val := withoutNulls(*patch)
		if n.Equal(&val) {
			return nil
		}
		return tx.JSONSet(key, n.Path, &val)
	}
	for i := range patch.Nodes {
		x := &patch.Nodes[i]
		if have := n.Find(x.Name); have != nil {
			if err := mergeJSON(tx, key, have, x); err != nil {
				return err
			}
		} else if x.Type != crdt.JSONNull {
			val := withoutNulls(*x)
			if err := tx.JSONSet(key, crdt.JSONField(n.Path, x.Name), &val); err != nil {
				return err
			}
		}
	}
	return nil
}

// withoutNulls is what a patch makes of nothing: objects lose their fields that are null.
func withoutNulls(n crdt.JSONNode) crdt.JSONNode {
	if n.Type != crdt.JSONObject {
		return n
	}
	var kept []crdt.JSONNode
	for _, x := range n.Nodes {
		if x.Type != crdt.JSONNull {
			kept = append(kept, withoutNulls(x))
		}
	}
	n.Nodes = kept
	return n
}
