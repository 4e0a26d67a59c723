package crdt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// JSONType is what a node of a JSON document is.
type JSONType uint8

// The types. Where several were written concurrently to one path, the one with the highest number shows, until a write settles it.
const (
	JSONNull JSONType = iota
	JSONBool
	JSONNumber
	JSONString
	JSONArray
	JSONObject
)

// JSONNode is a value of a JSON document, with all that is below it.
type JSONNode struct {
	Type  JSONType
	Text  string     // a string; a number as JSON has it; true or false
	Name  string     // of a field
	Path  string     // of a node that was read: where it is
	Nodes []JSONNode // fields in the order of their names, byte by byte; elements in theirs
}

// Limits of a document.
const (
	JSONDepthMax = 128     // levels below the root
	JSONNodesMax = 1 << 18 // nodes of a text that is parsed, or a subtree that is read
)

// ErrNotJSON says that a text is no JSON document within the limits.
var ErrNotJSON = errors.New("crdt: not JSON")

// ParseJSON reads a text. Of fields of one name the last counts. A whole number is kept as it is where it fits 64 bits, another as the
// shortest decimal of its float64. Error: ErrNotJSON.
func ParseJSON(text []byte) (JSONNode, error) {
	p := jsonParser{dec: json.NewDecoder(bytes.NewReader(text))}
	p.dec.UseNumber()
	n, err := p.value(0)
	if err == nil {
		if _, more := p.dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more behind the value")
		}
	}
	if err != nil {
		return JSONNode{}, fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	return n, nil
}

type jsonParser struct {
	dec   *json.Decoder
	nodes int
}

func (p *jsonParser) value(depth int) (JSONNode, error) {
	t, err := p.dec.Token()
	if err != nil {
		return JSONNode{}, err
	}
	if p.nodes++; p.nodes > JSONNodesMax {
		return JSONNode{}, fmt.Errorf("more than %d values", JSONNodesMax)
	}
	switch t := t.(type) {
	case nil:
		return JSONNode{}, nil
	case bool:
		return JSONNode{Type: JSONBool, Text: strconv.FormatBool(t)}, nil
	case string:
		return JSONNode{Type: JSONString, Text: t}, nil
	case json.Number:
		text, err := jsonNumber(string(t))
		return JSONNode{Type: JSONNumber, Text: text}, err
	case json.Delim:
		if depth == JSONDepthMax {
			return JSONNode{}, fmt.Errorf("deeper than %d levels", JSONDepthMax)
		}
		if t == '{' {
			return p.object(depth + 1)
		}
		return p.array(depth + 1)
	}
	return JSONNode{}, errors.New("an unknown token")
}

func (p *jsonParser) array(depth int) (JSONNode, error) {
	n := JSONNode{Type: JSONArray}
	for p.dec.More() {
		x, err := p.value(depth)
		if err != nil {
			return n, err
		}
		n.Nodes = append(n.Nodes, x)
	}
	_, err := p.dec.Token()
	return n, err
}

func (p *jsonParser) object(depth int) (JSONNode, error) {
	n := JSONNode{Type: JSONObject}
	for p.dec.More() {
		t, err := p.dec.Token()
		if err != nil {
			return n, err
		}
		name, ok := t.(string)
		if !ok {
			return n, errors.New("a field without a name")
		}
		x, err := p.value(depth)
		if err != nil {
			return n, err
		}
		x.Name = name
		n.Nodes = append(n.Nodes, x)
	}
	n.Nodes = lastOfEachName(n.Nodes)
	_, err := p.dec.Token()
	return n, err
}

// lastOfEachName sorts fields.
func lastOfEachName(fields []JSONNode) []JSONNode {
	slices.SortStableFunc(fields, func(a, b JSONNode) int { return strings.Compare(a.Name, b.Name) })
	out := fields[:0]
	for i := range fields {
		if i+1 == len(fields) || fields[i+1].Name != fields[i].Name {
			out = append(out, fields[i])
		}
	}
	return out
}

// jsonNumber is the one form in which a number is kept.
func jsonNumber(text string) (string, error) {
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil && (i != 0 || text[0] != '-') {
			return strconv.FormatInt(i, 10), nil
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return strconv.FormatUint(u, 10), nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "", fmt.Errorf("number %.40s is out of range", text)
	}
	return JSONFloat(f), nil
}

// JSONFloat writes a number that is finite, so that it reads back as the same float64, and as no integer.
func JSONFloat(f float64) string {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-5 || abs >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// isJSONNumber reports whether a text is a number as JSON has it.
func isJSONNumber(b []byte) bool {
	return len(b) > 0 && (b[0] == '-' || '0' <= b[0] && b[0] <= '9') && json.Valid(b)
}

// Integer reports whether a number is written as a whole one.
func (n *JSONNode) Integer() bool {
	return n.Type == JSONNumber && !strings.ContainsAny(n.Text, ".eE")
}

// Find gives the field of a name, or nil.
func (n *JSONNode) Find(name string) *JSONNode {
	if n.Type != JSONObject {
		return nil
	}
	i, ok := slices.BinarySearchFunc(n.Nodes, name, func(x JSONNode, name string) int { return strings.Compare(x.Name, name) })
	if !ok {
		return nil
	}
	return &n.Nodes[i]
}

// Equal reports whether two values are alike, wherever they are.
func (n *JSONNode) Equal(o *JSONNode) bool {
	return n.Type == o.Type && n.Text == o.Text &&
		slices.EqualFunc(n.Nodes, o.Nodes, func(a, b JSONNode) bool { return a.Name == b.Name && a.Equal(&b) })
}

// JSONStyle is what goes between the parts of a text. The zero style leaves nothing between them.
type JSONStyle struct {
	Indent  string // for each level, in front of a line
	Newline string // in front of each element and field, and behind the last
	Space   string // behind the colon
}

// Append writes the text of a value, at most about so many bytes: what is longer ends early, and is then longer than that.
func (n *JSONNode) Append(b []byte, style JSONStyle, most int) []byte {
	return n.append(b, &style, 0, len(b)+most)
}

func (n *JSONNode) append(b []byte, style *JSONStyle, depth, most int) []byte {
	switch n.Type {
	case JSONNull:
		return append(b, "null"...)
	case JSONString:
		return appendJSONString(b, n.Text)
	case JSONArray, JSONObject:
		return n.appendAll(b, style, depth, most)
	}
	return append(b, n.Text...)
}

// appendAll writes an array or object.
func (n *JSONNode) appendAll(b []byte, style *JSONStyle, depth, most int) []byte {
	open, shut := byte('['), byte(']')
	if n.Type == JSONObject {
		open, shut = '{', '}'
	}
	b = append(b, open)
	for i := range n.Nodes {
		if len(b) > most {
			return b
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = style.line(b, depth+1)
		if n.Type == JSONObject {
			b = append(append(appendJSONString(b, n.Nodes[i].Name), ':'), style.Space...)
		}
		b = n.Nodes[i].append(b, style, depth+1, most)
	}
	if len(n.Nodes) > 0 {
		b = style.line(b, depth)
	}
	return append(b, shut)
}

func (s *JSONStyle) line(b []byte, depth int) []byte {
	b = append(b, s.Newline...)
	for range depth {
		b = append(b, s.Indent...)
	}
	return b
}

// appendJSONString quotes a string, and no more of it than must be. What is no UTF-8 is replaced.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}
