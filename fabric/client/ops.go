package client

import (
	"maps"
	"slices"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
)

// Operation is one row of the table of operations.
type Operation struct {
	Name    string // and its path in the HTTP API
	Summary string
	Needs   []string // arguments, by their JSON names,
	Takes   []string // and those that may be left out

	kind    crdt.Kind // of entry that it writes; KindNone is any
	shrinks bool      // it only removes: taken also when memory is full
	blind   bool      // what it does depends on nothing that is there: it can wait for a holder
	do      func(tx *crdt.Tx, key string, a *Args) (Result, error)
}

// Result is what an operation did.
type Result struct {
	Changed int64   `json:"changed" doc:"How many members, fields or elements were added or removed, or 1 for an entry that was written or removed."`
	Value   *string `json:"value,omitempty" doc:"The sum or score as it is here, a decimal number."`
	ETag    string  `json:"etag" doc:"Of the entry's new state."`
	Queued  bool    `json:"queued,omitempty" doc:"It waits at this node, which reaches no holder of the region: what it comes to is not known."`
	Error   *Fault  `json:"error,omitempty" doc:"In a batch: why this operation did nothing."`
}

// Fault is a problem within a result.
type Fault struct {
	Type   string `json:"type" doc:"As in problems."`
	Detail string `json:"detail"`
}

// Operations is the table.
func Operations() []Operation {
	return []Operation{
		{Name: "register/set", Summary: "Write a register. Of concurrent writes the last shows, and the others stay until one covers them.", Needs: []string{"value"}, Takes: []string{"ttl_ms", "keep_expiry"}, blind: true, do: setRegister},
		{Name: "expiry/set", Summary: "Have an entry expire. Of concurrent settings the longest wins.", Needs: []string{"ttl_ms"}, do: setExpiry},
		{Name: "expiry/clear", Summary: "Have an entry not expire. It wins over concurrent settings.", do: clearExpiry},
		{Name: "entry/delete", Summary: "Remove an entry, as far as it was seen here.", shrinks: true, do: deleteEntry},
		{Name: "counter/add", Summary: "Add to a counter. Concurrent additions all count.", kind: crdt.KindString, Needs: []string{"by"}, blind: true, do: addToCounter},
		{Name: "counter/add-decimal", Summary: "Add a decimal number to a counter.", kind: crdt.KindString, Needs: []string{"by_decimal"}, blind: true, do: addDecimal},
		{Name: "set/add", Summary: "Add members to a set. An addition wins over a concurrent removal.", kind: crdt.KindSet, Needs: []string{"members"}, blind: true, do: addMembers},
		{Name: "set/remove", Summary: "Remove members from a set, as far as they were seen here.", kind: crdt.KindSet, Needs: []string{"members"}, shrinks: true, do: removeMembers},
		{Name: "map/put", Summary: "Write fields of a map. Writes to different fields never conflict.", kind: crdt.KindMap, Needs: []string{"fields"}, blind: true, do: putFields},
		{Name: "map/remove", Summary: "Remove fields from a map, as far as they were seen here.", kind: crdt.KindMap, Needs: []string{"names"}, shrinks: true, do: removeFields},
		{Name: "map/add", Summary: "Add to the counter in a field of a map.", kind: crdt.KindMap, Needs: []string{"field", "by"}, blind: true, do: addToField},
		{Name: "sorted/put", Summary: "Write scores of members of a sorted set. Of concurrent writes of one score the last wins.", kind: crdt.KindSorted, Needs: []string{"scores"}, blind: true, do: putScores},
		{Name: "sorted/add", Summary: "Add to the score of a member of a sorted set. Concurrent additions all count.", kind: crdt.KindSorted, Needs: []string{"member", "by_decimal"}, blind: true, do: addToScore},
		{Name: "sorted/remove", Summary: "Remove members from a sorted set, as far as they were seen here.", kind: crdt.KindSorted, Needs: []string{"members"}, shrinks: true, do: removeScores},
		{Name: "list/push", Summary: "Add elements to an end of a list. What is pushed concurrently does not interleave.", kind: crdt.KindList, Needs: []string{"members"}, Takes: []string{"front"}, do: pushElements},
		{Name: "list/set", Summary: "Write the element at an index of a list.", kind: crdt.KindList, Needs: []string{"index", "value"}, do: setElement},
		{Name: "list/remove", Summary: "Remove elements from an index of a list on, as far as they were seen here.", kind: crdt.KindList, Needs: []string{"index"}, Takes: []string{"count"}, shrinks: true, do: removeElements},
		{Name: "stream/add", Summary: "Add an entry to a stream, its fields in the order of their names. Its value is the id.", kind: crdt.KindStream, Needs: []string{"fields"}, Takes: []string{"id"}, blind: true, do: addEntry},
		{Name: "stream/remove", Summary: "Remove entries from a stream, as far as they were seen here.", kind: crdt.KindStream, Needs: []string{"ids"}, shrinks: true, do: removeEntries},
		{Name: "stream/trim", Summary: "Remove the first entries of a stream, as far as they were seen here.", kind: crdt.KindStream, Needs: []string{"keep"}, shrinks: true, do: trimStream},
		{Name: "flag/turn", Summary: "Turn a flag on or off. Concurrently turned both ways it is as its rule says.", kind: crdt.KindFlag, Needs: []string{"on"}, Takes: []string{"rule"}, do: turnFlag},
		{Name: "bounded/new", Summary: "Begin a counter that never passes a limit, all rights of which are at this node.", kind: crdt.KindBounded, Needs: []string{"initial", "limit"}, Takes: []string{"ceiling"}, do: newBounded},
		{Name: "bounded/add", Summary: "Add to a bounded counter. Where less rights are at this node than the move towards the limit takes, nothing is written, and other nodes are asked for some.", kind: crdt.KindBounded, Needs: []string{"by"}, do: addToBounded},
		{Name: "bounded/renew", Summary: "Begin a bounded counter anew with the value that shows here and all rights here. What others spend of theirs until they hear of it is not in the new counter.", kind: crdt.KindBounded, do: renewBounded},
		{Name: "block/alloc", Summary: "Make a block of zeros, or one that is there as long as that. Its value is the length.", kind: crdt.KindBlock, Needs: []string{"size"}, do: allocBlock},
		{Name: "block/write", Summary: "Write bytes into a block. Writes to different pages of 4 KiB never conflict.", kind: crdt.KindBlock, Needs: []string{"offset", "value"}, do: writeBlock},
	}
}

func count(n int, err error) (Result, error) { return Result{Changed: int64(n)}, err }

func did(done bool, err error) (Result, error) {
	if done {
		return count(1, err)
	}
	return count(0, err)
}

// each counts the items of which fn did something.
func each[T any](items []T, fn func(T) (bool, error)) (Result, error) {
	n := 0
	for _, x := range items {
		done, err := fn(x)
		if err != nil {
			return count(n, err)
		}
		if done {
			n++
		}
	}
	return count(n, nil)
}

func setRegister(tx *crdt.Tx, key string, a *Args) (Result, error) {
	tx.Set(key, []byte(*a.Value), a.KeepExpiry)
	if a.TTLMs != nil {
		tx.Expire(key, tx.Now()+*a.TTLMs)
	}
	return count(1, nil)
}

func setExpiry(tx *crdt.Tx, key string, a *Args) (Result, error) {
	return did(tx.Expire(key, tx.Now()+*a.TTLMs), nil)
}

func clearExpiry(tx *crdt.Tx, key string, _ *Args) (Result, error) { return did(tx.Persist(key), nil) }

func deleteEntry(tx *crdt.Tx, key string, _ *Args) (Result, error) { return did(tx.Del(key), nil) }

func addToCounter(tx *crdt.Tx, key string, a *Args) (Result, error) {
	sum, err := tx.Incr(key, *a.By)
	return summed(sum), err
}

func addDecimal(tx *crdt.Tx, key string, a *Args) (Result, error) {
	sum, err := tx.IncrFloat(key, *a.ByDecimal)
	return Result{Changed: 1, Value: &sum}, err
}

func addMembers(tx *crdt.Tx, key string, a *Args) (Result, error) {
	if err := smallMembers(a.Members); err != nil {
		return Result{}, err
	}
	return each(a.Members, func(m string) (bool, error) { return tx.SetAdd(key, m) })
}

func removeMembers(tx *crdt.Tx, key string, a *Args) (Result, error) {
	return each(a.Members, func(m string) (bool, error) { return tx.SetRemove(key, m) })
}

func putFields(tx *crdt.Tx, key string, a *Args) (Result, error) {
	return each(slices.Sorted(maps.Keys(a.Fields)), func(f string) (bool, error) { return tx.MapSet(key, f, []byte(a.Fields[f])) })
}

func removeFields(tx *crdt.Tx, key string, a *Args) (Result, error) {
	return each(a.Names, func(f string) (bool, error) { return tx.MapDel(key, f) })
}

func addToField(tx *crdt.Tx, key string, a *Args) (Result, error) {
	sum, err := tx.MapIncr(key, *a.Field, *a.By)
	return summed(sum), err
}

func putScores(tx *crdt.Tx, key string, a *Args) (Result, error) {
	scores := make([]float64, len(a.Scores))
	for i, x := range a.Scores {
		var err error
		if scores[i], err = parseScore(x.Score); err != nil {
			return Result{}, err
		}
	}
	i := -1
	return each(a.Scores, func(x Score) (bool, error) { i++; return tx.SortedSet(key, x.Member, scores[i]) })
}

func addToScore(tx *crdt.Tx, key string, a *Args) (Result, error) {
	by, err := parseScore(*a.ByDecimal)
	if err != nil {
		return Result{}, err
	}
	score, err := tx.SortedIncr(key, *a.Member, by)
	text := formatScore(score)
	return Result{Changed: 1, Value: &text}, err
}

func removeScores(tx *crdt.Tx, key string, a *Args) (Result, error) {
	return each(a.Members, func(m string) (bool, error) { return tx.SortedRemove(key, m) })
}

func pushElements(tx *crdt.Tx, key string, a *Args) (Result, error) {
	return each(a.Members, func(m string) (bool, error) {
		rank := 0
		if !a.Front {
			n, err := tx.ListLen(key)
			if err != nil {
				return false, err
			}
			rank = n
		}
		return true, tx.ListInsert(key, rank, []byte(m))
	})
}

func setElement(tx *crdt.Tx, key string, a *Args) (Result, error) {
	return did(true, tx.ListSet(key, *a.Index, []byte(*a.Value)))
}

func removeElements(tx *crdt.Tx, key string, a *Args) (Result, error) {
	n := 1
	if a.Count != nil {
		n = *a.Count
	}
	return count(tx.ListRemove(key, *a.Index, n))
}

func addEntry(tx *crdt.Tx, key string, a *Args) (Result, error) {
	var fields [][]byte
	for _, f := range slices.Sorted(maps.Keys(a.Fields)) {
		fields = append(fields, []byte(f), []byte(a.Fields[f]))
	}
	var id crdt.StreamID
	var err error
	if a.ID == nil {
		id, err = tx.StreamAppend(key, fields)
	} else if id, err = streamID(*a.ID); err == nil {
		err = tx.StreamAdd(key, id, fields)
	}
	if err != nil {
		return Result{}, err
	}
	text := id.String()
	return Result{Changed: 1, Value: &text}, nil
}

func removeEntries(tx *crdt.Tx, key string, a *Args) (Result, error) {
	ids := make([]crdt.StreamID, len(a.IDs))
	for i, text := range a.IDs {
		var err error
		if ids[i], err = streamID(text); err != nil {
			return Result{}, err
		}
	}
	return count(tx.StreamRemove(key, ids...))
}

func trimStream(tx *crdt.Tx, key string, a *Args) (Result, error) {
	n, err := tx.StreamLen(key)
	if err != nil {
		return Result{}, err
	}
	return count(tx.StreamTrim(key, n-*a.Keep))
}

func turnFlag(tx *crdt.Tx, key string, a *Args) (Result, error) {
	rules := map[string]crdt.FlagRule{"": crdt.FlagRuleKept, "enable-wins": crdt.FlagEnableWins, "disable-wins": crdt.FlagDisableWins}
	return did(true, tx.FlagSet(key, *a.On, rules[a.Rule]))
}

func newBounded(tx *crdt.Tx, key string, a *Args) (Result, error) {
	return did(true, tx.BoundedNew(key, *a.Initial, *a.Limit, a.Ceiling))
}

func addToBounded(tx *crdt.Tx, key string, a *Args) (Result, error) {
	shown, err := tx.BoundedAdd(key, *a.By)
	return summed(shown.Value), err
}

func renewBounded(tx *crdt.Tx, key string, _ *Args) (Result, error) {
	shown, err := tx.BoundedRenew(key)
	return summed(shown.Value), err
}

func allocBlock(tx *crdt.Tx, key string, a *Args) (Result, error) {
	length, err := tx.BlockAlloc(key, *a.Size)
	return summed(length), err
}

func writeBlock(tx *crdt.Tx, key string, a *Args) (Result, error) {
	return did(true, tx.BlockWrite(key, *a.Offset, []byte(*a.Value)))
}

func summed(sum int64) Result {
	text := strconv.FormatInt(sum, 10)
	return Result{Changed: 1, Value: &text}
}

// table is the operations by name.
var table = func() map[string]*Operation {
	out := map[string]*Operation{}
	for _, o := range Operations() {
		out[o.Name] = &o
	}
	return out
}()
