package crdt

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A JSON document is a tree (Kleppmann and Beresford, "A Conflict-Free Replicated JSON Datatype", 2017) of which each node is a cell,
// named by its path (path.go): changes to different paths never conflict, and a change costs the nodes that change.
//
//	value of a register   {  an object     "…  a string            true, false, null
//	                      [  an array      a number, as JSON has it
//
// An object or array is there as long as it is marked as one, or something below it lives. So a removal of a subtree takes what it has
// seen, and what was written below it concurrently stays, with the containers around it. An array is a sequence as a list is: an
// element is named by its position, concurrent runs do not interleave, and what was removed takes no other's place. A number that was
// incremented has contributions (counter.go), and increments add up.
//
//	what shows at a path   an object where one is marked or a field lives, else an array where one is marked or an element lives,
//	                       else the latest scalar, with what was added to it
//
// What does not show is kept, until a write settles it: one at the path or above, which takes everything below out; or one below, which
// marks all containers on its way, over the scalars that hid there.
//
//	cost: 34 bytes a node beside path and value, and the order (order.go). A subtree is read in O(its nodes), from 48 nodes on
//	      after O(log n) in a document whose order is kept, else after a sort. A write of a subtree replicates its nodes, and a
//	      removal one ghost for each; of a whole document it is one.

// What a register holds of a container.
const (
	jsonObject = "{"
	jsonArray  = "["
)

// ErrNotPath says that a path names nothing that there can be, or that something else is there.
var ErrNotPath = errors.New("crdt: no such path in the document")

// jsonCell is a cell of a document, read.
type jsonCell struct {
	path string
	node JSONNode // without what is below it
}

// JSON reads the value at a path of a document, "" for all of it; ok is false where there is none. Errors: ErrWrongType, ErrUnreadable,
// ErrTooLarge of more than JSONNodesMax nodes.
func (v *View) JSON(key, path string) (n JSONNode, ok bool, err error) {
	e, err := v.of(key, KindJSON)
	if !e.ok() {
		return n, false, err
	}
	if _, ok := JSONSteps(path); !ok {
		return n, false, ErrNotPath
	}
	var cells []jsonCell
	v.jsonCells(e, path, func(ref uint64) bool {
		if len(cells) >= JSONNodesMax {
			err = fmt.Errorf("%w: a document of more than %d nodes; read it by paths", ErrTooLarge, JSONNodesMax)
			return false
		}
		var x jsonCell
		if x, err = v.jsonCell(e, ref); err != nil {
			return false
		}
		cells = append(cells, x)
		return true
	})
	if err != nil || len(cells) == 0 {
		return n, false, v.failed(err)
	}
	b := jsonBuilder{left: JSONNodesMax}
	n = b.node(path, cells)
	if b.left < 0 {
		return JSONNode{}, false, fmt.Errorf("%w: a document of more than %d nodes; read it by paths", ErrTooLarge, JSONNodesMax)
	}
	return n, true, nil
}

// jsonCells calls fn on the records of a path and of all below it, in the order of their paths, until it returns false.
func (v *View) jsonCells(e entry, path string, fn func(ref uint64) bool) {
	q := v.orderOf(e, CellNode)
	q.each(q.rank(&mark{sub: []byte(path)}), false, func(ref uint64) bool {
		sub := v.r.store.subOf(ref)
		return len(sub) >= len(path) && string(sub[:len(path)]) == path && fn(ref)
	})
}

// jsonCell reads one cell.
func (v *View) jsonCell(e entry, ref uint64) (x jsonCell, err error) {
	if v.r.store.policy != nil {
		v.r.store.touch(ref)
	}
	var c cell
	e.load(&c, ref)
	x.path = string(c.sub)
	x.node.Path = x.path
	if x.node.Type = c.container(); x.node.Type != JSONNull {
		return x, nil
	}
	val, err := v.r.scalar(&c)
	x.node.Type, x.node.Text = jsonScalar(val)
	return x, err
}

// container is what a cell is marked as: an object, an array, or null for neither.
func (c *cell) container() (t JSONType) {
	for i := range c.sibs {
		if s := &c.sibs[i]; s.tag == TagReg && !s.away {
			switch string(s.val) {
			case jsonObject:
				return JSONObject
			case jsonArray:
				t = JSONArray
			}
		}
	}
	return t
}

// jsonScalar reads a register. What no version writes is null, everywhere alike.
func jsonScalar(val []byte) (JSONType, string) {
	switch {
	case len(val) > 0 && val[0] == '"':
		return JSONString, string(val[1:])
	case string(val) == "true" || string(val) == "false":
		return JSONBool, string(val)
	case isJSONNumber(val):
		return JSONNumber, string(val)
	}
	return JSONNull, ""
}

// register is what a node's cell holds.
func (n *JSONNode) register() []byte {
	switch n.Type {
	case JSONObject:
		return []byte(jsonObject)
	case JSONArray:
		return []byte(jsonArray)
	case JSONString:
		return append([]byte{'"'}, n.Text...)
	case JSONNull:
		return []byte("null")
	}
	return []byte(n.Text)
}

// jsonBuilder makes a tree of cells.
type jsonBuilder struct{ left int }

// node makes the value at a path of the cells there and below, which are in order.
func (b *jsonBuilder) node(path string, cells []jsonCell) (n JSONNode) {
	if b.left--; b.left < 0 {
		return n
	}
	if cells[0].path == path {
		n, cells = cells[0].node, cells[1:]
	}
	n.Path = path
	fields, elements := cells, []jsonCell(nil)
	if i := slices.IndexFunc(cells, func(x jsonCell) bool { return x.path[len(path)] == stepElement }); i >= 0 {
		fields, elements = cells[:i], cells[i:]
	}
	switch {
	case len(fields) > 0 || n.Type == JSONObject:
		n.Type, n.Text, n.Nodes = JSONObject, "", b.nodes(path, fields)
	case len(elements) > 0 || n.Type == JSONArray:
		n.Type, n.Text, n.Nodes = JSONArray, "", b.nodes(path, elements)
	}
	return n
}

// nodes makes the fields or elements below a path.
func (b *jsonBuilder) nodes(path string, cells []jsonCell) (out []JSONNode) {
	for len(cells) > 0 && b.left >= 0 {
		step, rest, ok := takeStep([]byte(cells[0].path[len(path):]))
		if !ok {
			cells = cells[1:]
			continue
		}
		child := cells[0].path[:len(cells[0].path)-len(rest)]
		n := 1
		for n < len(cells) && len(cells[n].path) >= len(child) && cells[n].path[:len(child)] == child {
			n++
		}
		x := b.node(child, cells[:n])
		if !step.Element {
			x.Name = step.Name
		}
		out, cells = append(out, x), cells[n:]
	}
	return out
}

// JSONSet makes the value at a path of a document what val says, over everything there and below; "" is the whole document, which
// takes the place of whatever JSON the key held, and of its expiry. Another path must be to a node that is there, or to a field of an
// object that is. Errors: ErrWrongType, ErrTooLarge, ErrNotPath.
func (t *Tx) JSONSet(key, path string, val *JSONNode) error {
	e, err := t.needJSON(key, path)
	if err != nil {
		return err
	}
	if err := fitsJSON(path, val); err != nil {
		return err
	}
	if path == "" {
		if e.kind() != KindNone {
			t.drop(key)
		}
		return t.writeJSON(key, "", val)
	}
	if !t.jsonTakes(e, path) {
		return ErrNotPath
	}
	if err := t.markAbove(key, path); err != nil {
		return err
	}
	kept := map[string]bool{}
	val.paths(path, kept)
	t.removeJSON(key, path, kept)
	return t.writeJSON(key, path, val)
}

// jsonTakes reports whether a value may be written to a path: there is one, or the object whose field it would be.
func (v *View) jsonTakes(e entry, path string) bool {
	if v.jsonHas(e, path) {
		return true
	}
	above, isElement := "", true
	_ = prefixes(path, func(p string, element bool) error { above, isElement = p, element; return nil })
	if isElement {
		return false
	}
	c := e.cell(CellNode, above)
	return c != nil && c.container() == JSONObject || v.jsonHas(e, above+string(rune(stepField)))
}

// jsonHas reports whether a path begins like this.
func (v *View) jsonHas(e entry, start string) (found bool) {
	v.jsonCells(e, start, func(uint64) bool { found = true; return false })
	return found
}

// needJSON is need of a document, which must be there already to write below its root.
func (t *Tx) needJSON(key, path string) (entry, error) {
	if err := fits(key, path, nil); err != nil {
		return entry{}, err
	}
	e, err := t.need(key, KindJSON)
	if _, ok := JSONSteps(path); err == nil && (!ok || path != "" && e.kind() == KindNone) {
		err = ErrNotPath
	}
	return e, err
}

// fitsJSON refuses a value of which a part does not fit. Positions take at most so many bytes as are kept for them.
func fitsJSON(path string, n *JSONNode) error {
	const position = 64
	if err := fits("", path, []byte(nil)); err != nil {
		return err
	}
	if len(n.Text) >= MaxValueBytes {
		return fits("", "", n.register())
	}
	for i := range n.Nodes {
		child := JSONField(path, n.Nodes[i].Name)
		if n.Type == JSONArray {
			child = path + string(make([]byte, position))
		}
		if err := fitsJSON(child, &n.Nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

// paths lists the path of a value and of what is below it, without the elements of arrays, whose positions are new.
func (n *JSONNode) paths(path string, into map[string]bool) {
	into[path] = true
	if n.Type == JSONObject {
		for i := range n.Nodes {
			n.Nodes[i].paths(JSONField(path, n.Nodes[i].Name), into)
		}
	}
}

// writeJSON writes a value and what is below it.
func (t *Tx) writeJSON(key, path string, n *JSONNode) error {
	c := t.r.handle()
	t.r.seek(c, key, CellNode, path)
	t.assign(c, n.register())
	if n.Type == JSONArray {
		return t.writeElements(key, path, nil, nil, n.Nodes)
	}
	for i := range n.Nodes {
		if err := t.writeJSON(key, JSONField(path, n.Nodes[i].Name), &n.Nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

// writeElements writes elements between two positions of the array at a path.
func (t *Tx) writeElements(key, path string, left, right []byte, nodes []JSONNode) error {
	for i := range nodes {
		self := &t.r.origins[t.r.self]
		left = between(left, right, self.hash, self.runs.Top()+1)
		child := jsonElement(path, left)
		if err := fits(key, child, nil); err != nil {
			return err
		}
		if err := t.writeJSON(key, child, &nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

// markAbove marks all containers on the way to a path as what they are to it, where they are not marked, or not alone.
func (t *Tx) markAbove(key, path string) error {
	return prefixes(path, func(above string, element bool) error {
		want := jsonObject
		if element {
			want = jsonArray
		}
		c := t.r.handle()
		t.r.seek(c, key, CellNode, above)
		if len(c.sibs) != 1 || c.sibs[0].tag != TagReg || string(c.sibs[0].val) != want {
			t.assign(c, []byte(want))
		}
		return nil
	})
}

// removeJSON removes everything at a path and below it but for some paths.
func (t *Tx) removeJSON(key, path string, kept map[string]bool) (removed int) {
	var subs []string
	e := t.r.lookup(key)
	t.jsonCells(e, path, func(ref uint64) bool {
		if sub := string(t.r.store.subOf(ref)); !kept[sub] {
			subs = append(subs, sub)
		}
		return true
	})
	for _, sub := range subs {
		c := t.r.handle()
		t.r.seek(c, key, CellNode, sub)
		t.remove(c)
	}
	return len(subs)
}

// JSONDelete removes the value at a path, with all below it, as far as it was seen here. It reports whether there was one. Errors:
// ErrWrongType.
func (t *Tx) JSONDelete(key, path string) (removed bool, err error) {
	e, err := t.need(key, KindJSON)
	if err != nil || e.kind() == KindNone {
		return false, err
	}
	if path == "" {
		return t.Del(key), nil
	}
	if _, ok := JSONSteps(path); !ok || !t.jsonHas(e, path) {
		return false, nil
	}
	if err := t.markAbove(key, path); err != nil {
		return false, err
	}
	return t.removeJSON(key, path, nil) > 0, nil
}

// JSONInsert puts values before the element of a rank of the array that was read as at, or behind its last. Errors: ErrWrongType,
// ErrTooLarge, ErrNotPath of what is no array, ErrNoElement.
func (t *Tx) JSONInsert(key string, at *JSONNode, rank int, vals []JSONNode) error {
	switch {
	case at.Type != JSONArray:
		return ErrNotPath
	case rank < 0 || rank > len(at.Nodes):
		return ErrNoElement
	}
	if _, err := t.needJSON(key, at.Path); err != nil {
		return err
	}
	var left, right []byte
	if rank > 0 {
		left = positionOf(at.Nodes[rank-1].Path)
	}
	if rank < len(at.Nodes) {
		right = positionOf(at.Nodes[rank].Path)
	}
	if err := fitsJSON(at.Path, &JSONNode{Type: JSONArray, Nodes: vals}); err != nil {
		return err
	}
	if err := t.markAbove(key, at.Path+string(rune(stepElement))+string(anyPosition)); err != nil {
		return err
	}
	return t.writeElements(key, at.Path, left, right, vals)
}

// anyPosition is one, to name the array above it.
var anyPosition = pathTo(nil, level{side: sideSelf})

// isExact reports whether a number is a decimal that contributions hold exactly.
func isExact(text string) bool {
	_, fraction, _ := strings.Cut(text, ".")
	return !strings.ContainsAny(text, "eE") && len(fraction) <= maxScale && len(text) <= maxDigits/2
}

// JSONIncr adds a number to the one at a path, and gives the sum: exactly, as a counter, where both are decimals of 17 places at most
// and without an exponent; else rounded, and the last writer wins. Errors: ErrWrongType, ErrNotPath of what is no number,
// ErrOverflow of a sum that float64 has not, ErrUnreadable.
func (t *Tx) JSONIncr(key, path, delta string) (sum string, err error) {
	n, ok, err := t.JSON(key, path)
	switch {
	case err != nil:
		return "", err
	case !ok || n.Type != JSONNumber:
		return "", ErrNotPath
	}
	a, errA := strconv.ParseFloat(n.Text, 64)
	b, errB := strconv.ParseFloat(delta, 64)
	if errors.Join(errA, errB) != nil || math.IsInf(a+b, 0) {
		return "", ErrOverflow
	}
	if err := t.markAbove(key, path); err != nil {
		return "", err
	}
	if isExact(n.Text) && isExact(delta) {
		return t.incrFloatCell(t.r.lookup(key), key, CellNode, path, delta)
	}
	sum = JSONFloat(a + b)
	c := t.r.handle()
	t.r.seek(c, key, CellNode, path)
	t.assign(c, []byte(sum))
	return sum, nil
}
