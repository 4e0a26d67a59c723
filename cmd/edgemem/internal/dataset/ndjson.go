package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// ndjson reads one JSON object a line, each as a hash of its top-level fields; what is nested stays
// JSON, null is left out. The key is the field that key names, or the first of keyNames, or the line.
func ndjson(r io.Reader, name, key string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		lines := newLines(r)
		n := 0
		for lines.Scan() {
			n++
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			rec, err := object(line, key, n)
			if err != nil {
				fail(yield, name, n, err)
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			fail(yield, name, n+1, err)
		}
	}
}

// object reads fields in the order in which they stand, so that the same file loads the same way.
func object(line []byte, key string, n int) (Record, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return Record{}, notAnObject(line, err)
	}
	rec := Record{Kind: Hash}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return Record{}, badJSON(err)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return Record{}, badJSON(err)
		}
		if text, ok := scalar(raw); ok {
			rec.set(t.(string), text)
		}
	}
	if _, err := dec.Token(); err != nil {
		return Record{}, badJSON(err)
	}
	if rest, _ := io.ReadAll(dec.Buffered()); len(bytes.TrimSpace(rest)) > 0 {
		return Record{}, fmt.Errorf("more than one value on the line: %.40q", rest)
	}
	return rec.keyed(key, n)
}

func notAnObject(line []byte, err error) error {
	if err != nil {
		return badJSON(err)
	}
	return fmt.Errorf("want a JSON object, got %.40q", line)
}

func badJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("bad JSON: the line ends in the middle of a value")
	}
	return fmt.Errorf("bad JSON: %w", err)
}

func scalar(raw json.RawMessage) (text string, ok bool) {
	switch raw[0] {
	case 'n':
		return "", false
	case '"':
		err := json.Unmarshal(raw, &text)
		return text, err == nil
	case '{', '[':
		var b bytes.Buffer
		if json.Compact(&b, raw) != nil {
			return "", false
		}
		return b.String(), true
	default:
		return string(raw), true
	}
}

// set keeps the last of fields with one name, as JSON readers do.
func (r *Record) set(name, value string) {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			r.Fields[i].Value = value
			return
		}
	}
	r.Fields = append(r.Fields, Field{name, value})
}

func (r *Record) get(name string) string {
	for _, f := range r.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// keyed gives the record its key, and checks it.
func (r Record) keyed(key string, n int) (Record, error) {
	if len(r.Fields) == 0 {
		return r, errors.New("no field has a value")
	}
	if key != "" {
		if r.Key = r.get(key); r.Key == "" {
			return r, fmt.Errorf("the field %q, which --key names, is absent or empty", key)
		}
		return r, r.check()
	}
	for _, name := range keyNames {
		if r.Key = r.get(name); r.Key != "" {
			return r, r.check()
		}
	}
	r.Key = fmt.Sprintf("line:%d", n)
	return r, r.check()
}

// header trims a column's name; a file may have spaces after its separators.
func header(names []string) []string {
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}
