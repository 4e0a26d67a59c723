package sim

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// opKind is one operation of a transaction.
type opKind uint8

const (
	opSet opKind = iota
	opSetKeep
	opIncr
	opIncrFloat
	opDel
	opSetAdd
	opSetRemove
	opMapSet
	opMapDel
	opMapIncr
	opMapIncrFloat
	opExpire
	opPersist
	opFlush
	opFirst // those before it are what the oldest kinds of schedules choose from

	opSortedSet opKind = iota - 1
	opSortedIncr
	opSortedRemove
	opListInsert
	opListSet
	opListRemove
	opFlagSet
	opBlockAlloc
	opBlockWrite
	opHLLAdd
	opJSONSet
	opJSONDelete
	opJSONInsert
	opJSONIncr
	opStreamAdd
	opStreamAddAt
	opStreamRemove
	opStreamTrim
	opStreamSet
	opBoundNew
	opBoundAdd
	opBoundGive
	opBoundAsk
	opBoundAnswer
	opBoundRenew
	opKinds
)

var opNames = [opKinds]string{"Set", "SetKeepTTL", "Incr", "IncrFloat", "Del", "SetAdd", "SetRemove", "MapSet", "MapDel", "MapIncr", "MapIncrFloat", "Expire", "Persist", "Flush", "SortedSet", "SortedIncr", "SortedRemove", "ListInsert", "ListSet", "ListRemove", "FlagSet", "BlockAlloc", "BlockWrite", "HLLAdd", "JSONSet", "JSONDelete", "JSONInsert", "JSONIncr", "StreamAdd", "StreamAddAt", "StreamRemove", "StreamTrim", "StreamSet", "BoundNew", "BoundAdd", "BoundGive", "BoundAsk", "BoundAnswer", "BoundRenew"}

// op is one operation with its arguments; at is relative to the writer's clock.
type op struct {
	kind     opKind
	key, sub string
	val      string
	at       int64
	self     crdt.Origin   // the writer,
	peers    []crdt.Origin // and everyone that it may be about
}

func (o op) String() string {
	return fmt.Sprintf("%s(%q %q %.12q %+d)", opNames[o.kind], o.key, o.sub, o.val, o.at)
}

// delta is what an increment adds.
func (o op) delta() *big.Rat {
	switch o.kind {
	case opIncr, opMapIncr, opIncrFloat, opMapIncrFloat, opSortedIncr, opJSONIncr:
		d, _ := new(big.Rat).SetString(o.val)
		return d
	}
	return nil
}

// do runs the operation and gives its result as text.
func (o op) do(tx *crdt.Tx) (string, error) {
	n, isInt := new(big.Int).SetString(o.val, 10)
	if !isInt {
		n = new(big.Int)
	}
	switch o.kind {
	case opSet, opSetKeep:
		tx.Set(o.key, []byte(o.val), o.kind == opSetKeep)
		return "", nil
	case opIncr:
		x, err := tx.Incr(o.key, n.Int64())
		return fmt.Sprint(x), err
	case opIncrFloat:
		return tx.IncrFloat(o.key, o.val)
	case opDel:
		return fmt.Sprint(tx.Del(o.key)), nil
	case opSetAdd:
		return text(tx.SetAdd(o.key, o.sub))
	case opSetRemove:
		return text(tx.SetRemove(o.key, o.sub))
	case opMapSet:
		return text(tx.MapSet(o.key, o.sub, []byte(o.val)))
	case opMapDel:
		return text(tx.MapDel(o.key, o.sub))
	case opMapIncr:
		x, err := tx.MapIncr(o.key, o.sub, n.Int64())
		return fmt.Sprint(x), err
	case opMapIncrFloat:
		return tx.MapIncrFloat(o.key, o.sub, o.val)
	case opListInsert, opListSet, opListRemove:
		n, err := tx.ListLen(o.key)
		if err != nil {
			return "", err
		}
		switch o.kind {
		case opListInsert:
			return "", tx.ListInsert(o.key, o.rank(n+1), []byte(o.val))
		case opListSet:
			return "", tx.ListSet(o.key, o.rank(n), []byte(o.val))
		}
		removed, err := tx.ListRemove(o.key, o.rank(n), 2)
		return fmt.Sprint(removed), err
	case opFlagSet:
		rule := crdt.FlagEnableWins
		if o.at%2 == 1 {
			rule = crdt.FlagDisableWins
		}
		return "", tx.FlagSet(o.key, o.val == "true", rule)
	case opJSONSet, opJSONDelete, opJSONInsert, opJSONIncr:
		return o.doJSON(tx)
	case opStreamAdd, opStreamAddAt, opStreamRemove, opStreamTrim, opStreamSet:
		return o.doStream(tx)
	case opBoundNew, opBoundAdd, opBoundGive, opBoundAsk, opBoundAnswer, opBoundRenew:
		return o.doBounded(tx, n)
	case opBlockAlloc:
		n, err := tx.BlockAlloc(o.key, o.at)
		return fmt.Sprint(n), err
	case opBlockWrite:
		return "", tx.BlockWrite(o.key, o.at, []byte(o.val))
	case opHLLAdd:
		return text(tx.HLLAdd(o.key, []byte(o.val)))
	case opSortedSet:
		return text(tx.SortedSet(o.key, o.sub, o.float()))
	case opSortedIncr:
		x, err := tx.SortedIncr(o.key, o.sub, o.float())
		return floatText(x), err
	case opSortedRemove:
		return text(tx.SortedRemove(o.key, o.sub))
	case opExpire:
		return fmt.Sprint(tx.Expire(o.key, tx.Now()+o.at)), nil
	case opPersist:
		return fmt.Sprint(tx.Persist(o.key)), nil
	}
	tx.Flush()
	return "", nil
}

// rank is one of n places in a list; a third of them are its ends.
func (o op) rank(n int) int {
	switch o.at % 6 {
	case 0:
		return 0
	case 1:
		return n - 1
	}
	return int(o.at) % max(n, 1)
}

// listText is a list as text.
func listText(items []string) string { return strings.Join(items, "\x00") }

func listItems(s shown) []string {
	if s.kind == crdt.KindNone {
		return nil
	}
	return strings.Split(s.str, "\x00")
}

// wantsOfList is wantsOfKind of a list.
func (o op) wantsOfList(was, is shown) (shown, string, error) {
	items := listItems(was)
	result := ""
	switch n := len(items); o.kind {
	case opListInsert:
		items = slices.Insert(items, o.rank(n+1), o.val)
	case opListSet:
		if n == 0 {
			return was, "", crdt.ErrNoElement
		}
		items[o.rank(n)] = o.val
	case opListRemove:
		k := min(2, n-o.rank(n))
		if n == 0 {
			return was, "0", nil
		}
		items = slices.Delete(items, o.rank(n), o.rank(n)+k)
		result = fmt.Sprint(k)
	}
	if is.str = listText(items); len(items) == 0 {
		is = shown{}
	}
	return is, result, nil
}

// float is the number in val.
func (o op) float() float64 {
	x, _ := strconv.ParseFloat(o.val, 64)
	return x
}

func floatText(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

func text(ok bool, err error) (string, error) { return fmt.Sprint(ok), err }

// wants is the same operation on what the key shows, as Redis would do it: what it shows afterwards, the result,
// and the error.
func (o op) wants(was shown, now int64) (shown, string, error) {
	is := was
	is.subs = maps.Clone(was.subs)
	none := shown{}
	switch o.kind {
	case opFlush:
		return none, "", nil
	case opDel:
		return none, fmt.Sprint(was.kind != crdt.KindNone), nil
	case opSet:
		return shown{kind: crdt.KindString, str: o.val}, "", nil
	case opSetKeep:
		return shown{kind: crdt.KindString, str: o.val, exp: was.exp}, "", nil
	case opExpire:
		if is.exp = now + o.at; was.kind == crdt.KindNone || is.exp <= now {
			is = none
		}
		return is, fmt.Sprint(was.kind != crdt.KindNone), nil
	case opPersist:
		is.exp = 0
		return is, fmt.Sprint(was.exp != 0), nil
	}
	return o.wantsOfKind(was, is)
}

func (o op) wantsOfKind(was, is shown) (shown, string, error) {
	kind := crdt.KindString
	switch o.kind {
	case opSetAdd, opSetRemove:
		kind = crdt.KindSet
	case opMapSet, opMapDel, opMapIncr, opMapIncrFloat:
		kind = crdt.KindMap
	case opSortedSet, opSortedIncr, opSortedRemove:
		kind = crdt.KindSorted
	}
	switch o.kind {
	case opListInsert, opListSet, opListRemove:
		kind = crdt.KindList
	case opFlagSet:
		kind = crdt.KindFlag
	case opBlockAlloc, opBlockWrite:
		kind = crdt.KindBlock
	case opJSONSet, opJSONDelete, opJSONInsert, opJSONIncr:
		kind = crdt.KindJSON
	case opStreamAdd, opStreamAddAt, opStreamRemove, opStreamTrim, opStreamSet:
		kind = crdt.KindStream
	case opBoundNew, opBoundAdd, opBoundGive, opBoundAsk, opBoundAnswer, opBoundRenew:
		kind = crdt.KindBounded
	}
	if was.kind != crdt.KindNone && was.kind != kind {
		return was, "", crdt.ErrWrongType
	}
	is.kind = kind
	switch kind {
	case crdt.KindBlock:
		return o.wantsOfBlock(was, is)
	case crdt.KindJSON:
		return o.wantsOfJSON(was, is)
	case crdt.KindStream:
		return o.wantsOfStream(was, is)
	case crdt.KindBounded:
		return o.wantsOfBounded(was, is)
	case crdt.KindList:
		return o.wantsOfList(was, is)
	case crdt.KindFlag:
		is.str = o.val
		return is, "", nil
	}
	if is.subs == nil && kind != crdt.KindString {
		is.subs = map[string]string{}
	}
	val, there := is.subs[o.sub]
	switch o.kind {
	case opHLLAdd:
		return o.wantsOfHLL(was, is)
	case opIncr, opIncrFloat:
		sum, err := o.sum(was.str, was.kind != crdt.KindNone)
		if err != nil {
			return was, "", err
		}
		is.str = sum
		return is, sum, nil
	case opMapIncr, opMapIncrFloat:
		sum, err := o.sum(val, there)
		if err != nil {
			return was, "", err
		}
		is.subs[o.sub] = sum
		return is, sum, nil
	case opSortedIncr:
		have, _ := strconv.ParseFloat(val, 64)
		is.subs[o.sub] = floatText(have + o.float())
		return is, is.subs[o.sub], nil
	case opSortedSet:
		is.subs[o.sub] = floatText(o.float())
		return is, fmt.Sprint(!there), nil
	case opSetAdd, opMapSet:
		is.subs[o.sub] = o.val
		if o.kind == opSetAdd {
			is.subs[o.sub] = ""
		}
		return is, fmt.Sprint(!there), nil
	}
	if delete(is.subs, o.sub); len(is.subs) == 0 {
		is = shown{}
	}
	return is, fmt.Sprint(there), nil
}

func (o op) sum(have string, there bool) (string, error) {
	whole := o.kind == opIncr || o.kind == opMapIncr
	sum := new(big.Rat)
	if there {
		n, ok := number(have)
		switch {
		case whole && (!ok || !n.IsInt()):
			return "", crdt.ErrNotInteger
		case !ok:
			return "", crdt.ErrNotNumber
		}
		sum = n
	}
	return decimal(sum.Add(sum, o.delta())), nil
}

// checkOp compares what an operation did with what it should have done.
func checkOp(o op, was, is shown, result string, err error, now int64) error {
	want, wantResult, wantErr := o.wants(was, now)
	if !errors.Is(err, wantErr) || err == nil && result != wantResult {
		return fmt.Errorf("%v on %v answers %q %v, want %q %v", o, was, result, err, wantResult, wantErr)
	}
	if !is.equal(want) {
		return fmt.Errorf("%v on %v leaves %v, want %v", o, was, is, want)
	}
	return nil
}
