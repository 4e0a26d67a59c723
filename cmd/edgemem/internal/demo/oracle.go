package demo

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/dataset"
)

// wanted is what one key must hold: a string (also for a counter), the fields of a hash, or the members
// of a set. Exactly one is set.
type wanted struct {
	kind    string // as TYPE answers
	value   string
	fields  map[string]string
	members map[string]bool
}

// oracle knows what every key of every node must hold at the end. It mirrors each write as the
// documented rules have it, without any of the code under test.
type oracle struct {
	keys   map[string]*wanted
	writes int
}

func newOracle() *oracle { return &oracle{keys: map[string]*wanted{}} }

// apply notes one loaded record. Records of one key add up, as the commands that load them do.
func (o *oracle) apply(r dataset.Record) {
	switch r.Kind {
	case dataset.String:
		o.set(r.Key, r.Value)
	case dataset.Hash:
		for _, f := range r.Fields {
			o.hset(r.Key, f.Name, f.Value)
		}
	case dataset.Set:
		for _, m := range r.Members {
			o.sadd(r.Key, m)
		}
	case dataset.Counter:
		o.add(r.Key, r.Count)
	}
}

func (o *oracle) set(key, value string) {
	o.writes++
	o.keys[key] = &wanted{kind: "string", value: value}
}

func (o *oracle) add(key string, by int64) {
	o.writes++
	w := o.of(key, "string")
	n, _ := strconv.ParseInt(w.value, 10, 64) // only counters are added to; an absent one is 0
	w.value = strconv.FormatInt(n+by, 10)
}

func (o *oracle) hset(key, field, value string) {
	o.writes++
	w := o.of(key, "hash")
	if w.fields == nil {
		w.fields = map[string]string{}
	}
	w.fields[field] = value
}

func (o *oracle) sadd(key, member string) {
	o.writes++
	w := o.of(key, "set")
	if w.members == nil {
		w.members = map[string]bool{}
	}
	w.members[member] = true
}

func (o *oracle) del(key string) {
	o.writes++
	delete(o.keys, key)
}

func (o *oracle) of(key, kind string) *wanted {
	w := o.keys[key]
	if w == nil {
		w = &wanted{kind: kind}
		o.keys[key] = w
	}
	return w
}

func (o *oracle) sortedKeys() []string { return slices.Sorted(maps.Keys(o.keys)) }

// command gives the command that reads the key whole.
func (w *wanted) command(key string) []string {
	switch w.kind {
	case "hash":
		return []string{"HGETALL", key}
	case "set":
		return []string{"SMEMBERS", key}
	default:
		return []string{"GET", key}
	}
}

// compare says how a reply to command differs, or "".
func (w *wanted) compare(reply any) string {
	switch w.kind {
	case "hash":
		return difference(w.fields, pairs(reply))
	case "set":
		return difference(w.members, elements(reply))
	}
	if got, ok := reply.(string); !ok || got != w.value {
		return fmt.Sprintf("holds %s, want %s", show(reply), show(w.value))
	}
	return ""
}

// pairs reads the flat reply of HGETALL.
func pairs(reply any) map[string]string {
	list, _ := reply.([]any) // anything else compares as empty
	fields := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		fields[fmt.Sprint(list[i])] = fmt.Sprint(list[i+1])
	}
	return fields
}

func elements(reply any) map[string]bool {
	list, _ := reply.([]any) // anything else compares as empty
	members := make(map[string]bool, len(list))
	for _, m := range list {
		members[fmt.Sprint(m)] = true
	}
	return members
}

// difference names the first few names that are missing, too many, or hold something else.
func difference[V comparable](want, got map[string]V) string {
	const shown = 3
	if maps.Equal(want, got) {
		return ""
	}
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if v, ok := got[name]; !ok {
			notes = append(notes, fmt.Sprintf("lacks %s", show(name)))
		} else if v != want[name] {
			notes = append(notes, fmt.Sprintf("%s holds %s, want %s", show(name), show(v), show(want[name])))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			notes = append(notes, fmt.Sprintf("has %s too many", show(name)))
		}
	}
	if len(notes) > shown {
		notes = append(notes[:shown], fmt.Sprintf("and %d more", len(notes)-shown))
	}
	return strings.Join(notes, "; ")
}

// show quotes a value and cuts a long one.
func show(v any) string {
	const longest = 40
	if v == nil {
		return "nothing"
	}
	s := fmt.Sprint(v)
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	return strconv.Quote(s)
}
