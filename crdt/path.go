package crdt

import "bytes"

// A path says where in a JSON document a node is: the steps that lead to it from the root, each a field's name or an element's
// position (position.go). It is the name of the node's cell.
//
//	field     1  name, its zero bytes as 0 1  0 0
//	element   2  position, which tells its own end
//
// The bytes of a path are the beginning of those of all paths below it, and of no others; and they are ordered as the document is read:
// fields by their names, byte by byte, elements by their positions. So a subtree is a range of the order of the cells.
const (
	stepField   = 1
	stepElement = 2
)

// JSONField is the path to a field of the object at a path.
func JSONField(path, name string) string {
	b := make([]byte, 0, len(path)+len(name)+3)
	b = append(append(b, path...), stepField)
	for i := range len(name) {
		if b = append(b, name[i]); name[i] == 0 {
			b = append(b, 1)
		}
	}
	return string(append(b, 0, 0))
}

// jsonElement is the path to an element of the array at a path.
func jsonElement(path string, position []byte) string {
	return path + string(rune(stepElement)) + string(position)
}

// JSONStep is one step of a path: a field, or an element, of which the name is the position: names are ordered as the elements are.
type JSONStep struct {
	Name    string
	Element bool
}

// takeStep reads the first step of a path.
func takeStep(b []byte) (s JSONStep, rest []byte, ok bool) {
	switch {
	case len(b) == 0:
		return s, nil, false
	case b[0] == stepElement:
		n := positionLen(b[1:])
		if n == 0 {
			return s, nil, false
		}
		return JSONStep{string(b[1 : 1+n]), true}, b[1+n:], true
	case b[0] != stepField:
		return s, nil, false
	}
	name, b := []byte(nil), b[1:]
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 || i+1 == len(b) || b[i+1] > 1 {
			return s, nil, false
		}
		name = append(name, b[:i]...)
		if b[i+1] == 0 {
			return JSONStep{Name: string(name)}, b[i+2:], true
		}
		name, b = append(name, 0), b[i+2:]
	}
}

// positionLen is how many bytes of b are one position, or 0.
func positionLen(b []byte) int {
	rest := b
	for {
		_, after, ok := takeOrdered(rest)
		if !ok || len(after) < 8 {
			return 0
		}
		if _, after, ok = takeOrdered(after[8:]); !ok || len(after) == 0 {
			return 0
		}
		if rest = after[1:]; after[0] == sideSelf {
			break
		}
	}
	n := len(b) - len(rest)
	if _, ok := levelsOf(b[:n]); !ok {
		return 0
	}
	return n
}

// JSONSteps takes a path apart; ok is false where it is none.
func JSONSteps(path string) (steps []JSONStep, ok bool) {
	for b := []byte(path); len(b) > 0; {
		s, rest, ok := takeStep(b)
		if !ok {
			return nil, false
		}
		steps, b = append(steps, s), rest
	}
	return steps, true
}

// positionOf is where an element stands in its array, or nil of a path that ends in a field.
func positionOf(path string) []byte {
	steps, _ := JSONSteps(path)
	if len(steps) == 0 || !steps[len(steps)-1].Element {
		return nil
	}
	return []byte(steps[len(steps)-1].Name)
}

// prefixes calls fn with the path to each container on the way to a node, the root first, and whether the next step is to an element,
// until fn returns an error.
func prefixes(path string, fn func(above string, element bool) error) error {
	for b := []byte(path); len(b) > 0; {
		s, rest, ok := takeStep(b)
		if !ok {
			return ErrNotPath
		}
		if err := fn(path[:len(path)-len(b)], s.Element); err != nil {
			return err
		}
		b = rest
	}
	return nil
}
