package resp

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// jsonPath is a JSONPath (RFC 9535) of member names, indexes, slices, unions, wildcards and recursive descent, or one of RedisJSON's first
// version, which begins without "$" and means one place. Filters are not supported.
type jsonPath struct {
	asked  string // as the client wrote it
	text   string // with "$" in front
	legacy bool
	steps  []jsonStep
}

// jsonStep selects nodes below a node.
type jsonStep struct {
	descend bool // below all nodes below it, and itself
	all     bool
	names   []string
	indexes []int
	slice   *jsonSlice
}

// jsonSlice is [from:to:step].
type jsonSlice struct {
	from, to       int
	hasFrom, hasTo bool
	step           int
}

// Bounds of a path and of its evaluation.
const (
	jsonPathBytesMax = 64 << 10
	jsonStepsMax     = 256
	jsonVisitsMax    = 4 << 20 // nodes that one evaluation looks at
)

var errJSONPathCost = errors.New("the path looks at too many nodes; ask for less with each")

// parseJSONPath reads a path.
func parseJSONPath(text string) (p jsonPath, err error) {
	p = jsonPath{asked: text, text: text, legacy: !strings.HasPrefix(text, "$")}
	if len(text) > jsonPathBytesMax {
		return p, fmt.Errorf("a path of %d bytes, the most is %d", len(text), jsonPathBytesMax)
	}
	switch {
	case text == "." || text == "":
		p.text = "$"
		return p, nil
	case p.legacy && text[0] != '.' && text[0] != '[':
		p.text = "$." + text
	case p.legacy:
		p.text = "$" + text
	}
	for rest := p.text[1:]; rest != ""; {
		var s jsonStep
		if s, rest, err = takeJSONStep(rest); err != nil {
			return p, err
		}
		if p.steps = append(p.steps, s); len(p.steps) > jsonStepsMax {
			return p, fmt.Errorf("a path of more than %d steps", jsonStepsMax)
		}
	}
	return p, nil
}

// takeJSONStep reads the first step of what is left of a path.
func takeJSONStep(text string) (s jsonStep, rest string, err error) {
	if after, ok := strings.CutPrefix(text, ".."); ok {
		s.descend, text = true, after
	} else if after, ok := strings.CutPrefix(text, "."); ok {
		text = after
	} else if text[0] != '[' {
		return s, "", fmt.Errorf("expected '.' or '[' at %.20q", text)
	}
	if strings.HasPrefix(text, "[") {
		rest, err = s.bracket(text[1:])
		return s, rest, err
	}
	n := strings.IndexAny(text, ".[")
	if n < 0 {
		n = len(text)
	}
	switch name := text[:n]; name {
	case "":
		return s, "", errors.New("a name is missing")
	case "*":
		s.all = true
	default:
		s.names = []string{name}
	}
	return s, text[n:], nil
}

// bracket reads what is behind a "[".
func (s *jsonStep) bracket(text string) (rest string, err error) {
	for {
		text = strings.TrimLeft(text, " ")
		switch {
		case text == "":
			return "", errors.New("a bracket is not closed")
		case text[0] == '*':
			s.all, text = true, text[1:]
		case text[0] == '\'' || text[0] == '"':
			var name string
			if name, text, err = quotedName(text); err != nil {
				return "", err
			}
			s.names = append(s.names, name)
		case text[0] == '?' || text[0] == '(' || text[0] == '@':
			return "", errors.New("filters are not supported by edgemem")
		default:
			if text, err = s.numbers(text); err != nil {
				return "", err
			}
		}
		text = strings.TrimLeft(text, " ")
		switch {
		case strings.HasPrefix(text, ","):
			text = text[1:]
		case strings.HasPrefix(text, "]"):
			return text[1:], nil
		default:
			return "", fmt.Errorf("expected ',' or ']' at %.20q", text)
		}
	}
}

// quotedName reads a name in quotes, in which a backslash stands before a quote or another.
func quotedName(text string) (name, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == text[0]:
			return b.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("a quoted name is not closed")
}

// numbers reads an index or a slice.
func (s *jsonStep) numbers(text string) (rest string, err error) {
	n := strings.IndexAny(text, ",]")
	if n < 0 {
		return "", errors.New("a bracket is not closed")
	}
	parts := strings.Split(text[:n], ":")
	if len(parts) == 1 {
		i, err := strconv.Atoi(strings.TrimSpace(parts[0]))
		if err != nil {
			return "", fmt.Errorf("no name, index or slice: %.20q", text[:n])
		}
		s.indexes = append(s.indexes, i)
		return text[n:], nil
	}
	if len(parts) > 3 || s.slice != nil {
		return "", fmt.Errorf("no slice: %.20q", text[:n])
	}
	s.slice = &jsonSlice{step: 1}
	for i, part := range parts {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		x, err := strconv.Atoi(part)
		if err != nil || i == 2 && x <= 0 {
			return "", fmt.Errorf("no slice: %.20q", text[:n])
		}
		switch i {
		case 0:
			s.slice.from, s.slice.hasFrom = x, true
		case 1:
			s.slice.to, s.slice.hasTo = x, true
		default:
			s.slice.step = x
		}
	}
	return text[n:], nil
}

// single reports whether a step is to one place at most, whatever is there.
func (s *jsonStep) single() bool {
	return !s.descend && !s.all && s.slice == nil && len(s.names)+len(s.indexes) == 1
}

// static reports whether a path is.
func (p *jsonPath) static() bool {
	return !slices.ContainsFunc(p.steps, func(s jsonStep) bool { return !s.single() })
}

// field is the name that a path ends in, if it ends in one.
func (p *jsonPath) field() (name string, ok bool) {
	if len(p.steps) == 0 {
		return "", false
	}
	last := &p.steps[len(p.steps)-1]
	if !last.single() || len(last.names) == 0 {
		return "", false
	}
	return last.names[0], true
}

// stem is the beginning of a path that names fields alone: the nodes that it selects are below there in the document.
func (p *jsonPath) stem() (path string, rest []jsonStep) {
	rest = p.steps
	for len(rest) > 0 && rest[0].single() && len(rest[0].names) == 1 {
		path, rest = crdt.JSONField(path, rest[0].names[0]), rest[1:]
	}
	return path, rest
}

// jsonWalk evaluates steps.
type jsonWalk struct{ visits int }

// selectJSON gives the nodes that steps lead to, each once, those above before those below.
func selectJSON(root *crdt.JSONNode, steps []jsonStep) ([]*crdt.JSONNode, error) {
	w := jsonWalk{jsonVisitsMax}
	at := []*crdt.JSONNode{root}
	for i := range steps {
		var next []*crdt.JSONNode
		for _, n := range at {
			w.step(n, &steps[i], &next)
		}
		if w.visits < 0 {
			return nil, errJSONPathCost
		}
		at = onlyOnce(next)
	}
	return at, nil
}

// onlyOnce drops nodes that were selected before.
func onlyOnce(nodes []*crdt.JSONNode) []*crdt.JSONNode {
	if len(nodes) < 2 {
		return nodes
	}
	seen := make(map[*crdt.JSONNode]bool, len(nodes))
	return slices.DeleteFunc(nodes, func(n *crdt.JSONNode) bool {
		was := seen[n]
		seen[n] = true
		return was
	})
}

func (w *jsonWalk) step(n *crdt.JSONNode, s *jsonStep, out *[]*crdt.JSONNode) {
	if w.visits -= 1 + len(s.names) + len(s.indexes); w.visits < 0 {
		return
	}
	w.children(n, s, out)
	if s.descend {
		for i := range n.Nodes {
			w.step(&n.Nodes[i], s, out)
		}
	}
}

// children selects among what is right below a node.
func (w *jsonWalk) children(n *crdt.JSONNode, s *jsonStep, out *[]*crdt.JSONNode) {
	add := func(i int) {
		if i < 0 {
			i += len(n.Nodes)
		}
		if n.Type == crdt.JSONArray && i >= 0 && i < len(n.Nodes) {
			*out = append(*out, &n.Nodes[i])
		}
	}
	if s.all {
		w.visits -= len(n.Nodes)
		for i := range n.Nodes {
			*out = append(*out, &n.Nodes[i])
		}
	}
	for _, name := range s.names {
		if x := n.Find(name); x != nil {
			*out = append(*out, x)
		}
	}
	for _, i := range s.indexes {
		add(i)
	}
	if s.slice != nil && n.Type == crdt.JSONArray {
		from, to := s.slice.bounds(len(n.Nodes))
		for i := from; i < to; i += min(s.slice.step, to-i) {
			w.visits--
			add(i)
		}
	}
}

// bounds are those of a slice in an array of n.
func (s *jsonSlice) bounds(n int) (from, to int) {
	at := func(i int) int {
		if i < 0 {
			i += n
		}
		return min(max(i, 0), n)
	}
	if to = n; s.hasTo {
		to = at(s.to)
	}
	if s.hasFrom {
		from = at(s.from)
	}
	return from, to
}
