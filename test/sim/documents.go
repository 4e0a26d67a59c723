package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// jsonText is a document as text.
func jsonText(n *crdt.JSONNode) string { return string(n.Append(nil, crdt.JSONStyle{}, 1<<20)) }

// eachNode lists the nodes of a document, those above before those below.
func eachNode(n *crdt.JSONNode) (out []*crdt.JSONNode) {
	out = append(out, n)
	for i := range n.Nodes {
		out = append(out, eachNode(&n.Nodes[i])...)
	}
	return out
}

// target is the node of a document that the operation is for.
func (o op) target(n *crdt.JSONNode) *crdt.JSONNode {
	all := eachNode(n)
	return all[int(o.at)%len(all)]
}

// value is the JSON in val.
func (o op) value() crdt.JSONNode {
	n, err := crdt.ParseJSON([]byte(o.val))
	if err != nil {
		panic(err)
	}
	return n
}

// doJSON is do of a document. A set of an object at times writes a field.
func (o op) doJSON(tx *crdt.Tx) (string, error) {
	n, there, err := tx.JSON(o.key, "")
	if err != nil {
		return "", err
	}
	at := o.target(&n)
	switch val := o.value; o.kind {
	case opJSONSet:
		path, v := at.Path, val()
		if there && at.Type == crdt.JSONObject && o.at%5 > 0 {
			path = crdt.JSONField(path, o.sub)
		}
		return "", tx.JSONSet(o.key, path, &v)
	case opJSONDelete:
		return text(tx.JSONDelete(o.key, at.Path))
	case opJSONInsert:
		return "", tx.JSONInsert(o.key, at, int(o.at)%(len(at.Nodes)+1), []crdt.JSONNode{val(), val()})
	}
	return tx.JSONIncr(o.key, at.Path, o.val)
}

// wantsOfJSON is wantsOfKind of a document.
func (o op) wantsOfJSON(was, is shown) (shown, string, error) {
	there := was.kind != crdt.KindNone
	var n crdt.JSONNode
	if there {
		n, _ = crdt.ParseJSON([]byte(was.str))
	}
	at, result := o.target(&n), ""
	switch o.kind {
	case opJSONSet:
		if there && at.Type == crdt.JSONObject && o.at%5 > 0 {
			if at.Find(o.sub) == nil {
				at.Nodes = append(at.Nodes, crdt.JSONNode{Name: o.sub})
				slices.SortFunc(at.Nodes, func(a, b crdt.JSONNode) int { return strings.Compare(a.Name, b.Name) })
			}
			at = at.Find(o.sub)
		} else if at == &n {
			is.exp = 0
		}
		name := at.Name
		*at = o.value()
		at.Name = name
	case opJSONDelete:
		if result = fmt.Sprint(there); at == &n {
			return shown{}, result, nil
		}
		n = pruned(n, at)
	case opJSONInsert:
		if at.Type != crdt.JSONArray {
			return was, "", crdt.ErrNotPath
		}
		at.Nodes = slices.Insert(at.Nodes, int(o.at)%(len(at.Nodes)+1), o.value(), o.value())
	case opJSONIncr:
		if at.Type != crdt.JSONNumber {
			return was, "", crdt.ErrNotPath
		}
		sum, _ := new(big.Rat).SetString(at.Text)
		result = decimal(sum.Add(sum, o.delta()))
		at.Text = result
	}
	is.str = jsonText(&n)
	return is, result, nil
}

// pruned is a tree without one of its nodes, which is not the root.
func pruned(n crdt.JSONNode, gone *crdt.JSONNode) crdt.JSONNode {
	var kept []crdt.JSONNode
	for i := range n.Nodes {
		if x := &n.Nodes[i]; x != gone {
			kept = append(kept, pruned(*x, gone))
		}
	}
	n.Nodes = kept
	return n
}

// containers is what live writes mark a node as.
func containers(ws []*write) (mark string) {
	for _, w := range ws {
		if s := string(w.Value); w.Tag == crdt.TagReg && (s == "{" || s == "[" && mark == "") {
			mark = s
		}
	}
	return mark
}

// documentOf puts a document together from what its nodes show, by path.
func documentOf(cells map[string]string) string {
	b, err := json.Marshal(treeOf(cells, ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// treeOf is what is at and below a path.
func treeOf(cells map[string]string, path string) any {
	fields, elements := map[string]any{}, map[string]any{}
	for sub := range cells {
		if len(sub) <= len(path) || sub[:len(path)] != path {
			continue
		}
		steps, _ := crdt.JSONSteps(sub[len(path):])
		to := fields
		if steps[0].Element {
			to = elements
		}
		if _, seen := to[steps[0].Name]; !seen {
			to[steps[0].Name] = treeOf(cells, stepDown(path, sub))
		}
	}
	mark := cells[path]
	switch {
	case len(fields) > 0 || mark == "{":
		return fields
	case len(elements) > 0 || mark == "[":
		list := []any{}
		for _, p := range slices.Sorted(maps.Keys(elements)) {
			list = append(list, elements[p])
		}
		return list
	case mark != "" && mark[0] == '"':
		return mark[1:]
	}
	return json.RawMessage(mark)
}

// stepDown is the path one step below another, on the way to a third.
func stepDown(path, to string) string {
	for n := len(path) + 1; n < len(to); n++ {
		if steps, ok := crdt.JSONSteps(to[len(path):n]); ok && len(steps) == 1 {
			return to[:n]
		}
	}
	return to
}
