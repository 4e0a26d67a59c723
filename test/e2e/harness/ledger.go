package harness

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Ledger knows what replicas must hold after writes of which some were not acknowledged. A slot is the
// smallest thing that is written as a whole: the value of a string, one member of a set, one field of a
// hash. Each slot has one writer, which writes in order. Counters are shared by all writers.
type Ledger struct {
	mu       sync.Mutex
	slots    map[Slot][]outcome
	counters map[string]*tally
	tries    uint64
	acked    map[string]uint64 // acknowledged writes by origin
}

// Slot names a string (Item empty), a member of a set or a field of a hash.
type Slot struct {
	Kind Kind
	Key  string
	Item string
}

// Kind is the Redis type of a slot's key.
type Kind string

// The kinds, as TYPE answers.
const (
	String Kind = "string"
	Set    Kind = "set"
	Hash   Kind = "hash"
)

// absent is the value of a slot without one.
const absent = "\x00absent"

// Present is the value of a member that is in its set.
const Present = "\x00present"

// outcome is a value that a slot may have, by the try that would have given it.
type outcome struct {
	try   uint64
	value string
}

// tally bounds a counter: each attempted increment counts at most once, each acknowledged one once.
type tally struct{ acked, attempted int64 }

// NewLedger makes an empty one.
func NewLedger() *Ledger {
	return &Ledger{slots: map[Slot][]outcome{}, counters: map[string]*tally{}, acked: map[string]uint64{}}
}

// Try notes that a write is about to be sent. Its result is for Ack.
func (l *Ledger) Try(s Slot, value string) (try uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries++
	if l.slots[s] == nil {
		l.slots[s] = []outcome{{0, absent}}
	}
	l.slots[s] = append(l.slots[s], outcome{l.tries, value})
	return l.tries
}

// TryRemove is Try for a removal.
func (l *Ledger) TryRemove(s Slot) (try uint64) { return l.Try(s, absent) }

// Ack notes that the write was acknowledged: what came before it is over.
func (l *Ledger) Ack(s Slot, try uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots[s] = slices.DeleteFunc(l.slots[s], func(o outcome) bool { return o.try < try })
}

// TryAdd notes that an increment is about to be sent.
func (l *Ledger) TryAdd(key string, by int64) { l.add(key, 0, by) }

// AckAdd notes that an increment was acknowledged.
func (l *Ledger) AckAdd(key string, by int64) { l.add(key, by, 0) }

func (l *Ledger) add(key string, acked, attempted int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.counters[key]
	if t == nil {
		t = &tally{}
		l.counters[key] = t
	}
	t.acked += acked
	t.attempted += attempted
}

// Dots notes that an origin acknowledged writes, each of which took at least one dot.
func (l *Ledger) Dots(origin string, writes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[origin] += uint64(writes)
}

// Acknowledged is the number of acknowledged writes.
func (l *Ledger) Acknowledged() (sum uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.acked {
		sum += n
	}
	return sum
}

// CheckContext says which acknowledged writes are in no context.
func (l *Ledger) CheckContext(ctx map[string]Runs) (wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, origin := range slices.Sorted(maps.Keys(l.acked)) {
		if n, seen := l.acked[origin], Seen(ctx, origin); seen.Base < n {
			wrong = append(wrong, fmt.Sprintf("origin %s: %d writes were acknowledged, the context has %v", origin, n, seen))
		}
	}
	return wrong
}

// Check reads a whole region over c, in the region that c has selected, and says what is wrong. Nobody may
// write meanwhile.
func (l *Ledger) Check(c *Conn) (wrong []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kinds := map[string]Kind{}
	for s := range l.slots {
		kinds[s.Key] = s.Kind
	}
	got := map[Slot]string{}
	if err := readAll(c, kinds, got); err != nil {
		return nil, err
	}
	wrong = append(l.checkSlots(got), l.checkStrangers(got)...)
	more, err := l.checkCounters(c)
	if err != nil {
		return nil, err
	}
	unknown, err := l.checkKeys(c, kinds)
	return append(append(wrong, more...), unknown...), err
}

func (l *Ledger) checkSlots(got map[Slot]string) (wrong []string) {
	for s, allowed := range l.slots {
		value, ok := got[s]
		if !ok {
			value = absent
		}
		if !slices.ContainsFunc(allowed, func(o outcome) bool { return o.value == value }) {
			wrong = append(wrong, fmt.Sprintf("%s %s %s is %q, want one of %v", s.Kind, s.Key, s.Item, value, allowed))
		}
	}
	slices.Sort(wrong)
	return wrong
}

func (l *Ledger) checkStrangers(got map[Slot]string) (wrong []string) {
	for s := range got {
		if l.slots[s] == nil {
			wrong = append(wrong, fmt.Sprintf("%s %s has %s, which nobody wrote", s.Kind, s.Key, s.Item))
		}
	}
	slices.Sort(wrong)
	return wrong
}

func (l *Ledger) checkCounters(c *Conn) (wrong []string, err error) {
	for _, key := range slices.Sorted(maps.Keys(l.counters)) {
		t := l.counters[key]
		reply, err := c.Do("GET", key)
		if err != nil {
			return nil, err
		}
		text, _ := reply.(string) // nil is an absent counter: 0
		n, _ := strconv.ParseInt(cmp.Or(text, "0"), 10, 64)
		if low, high := min(t.acked, t.attempted), max(t.acked, t.attempted); n < low || n > high {
			wrong = append(wrong, fmt.Sprintf("counter %s is %d, want %d to %d", key, n, low, high))
		}
	}
	return wrong, nil
}

// checkKeys looks for keys that nobody wrote.
func (l *Ledger) checkKeys(c *Conn, kinds map[string]Kind) (wrong []string, err error) {
	cursor := "0"
	for {
		reply, err := c.Do("SCAN", cursor, "COUNT", "1000")
		if err != nil {
			return nil, err
		}
		page := reply.([]any)
		for _, k := range page[1].([]any) {
			key := k.(string)
			if kinds[key] == "" && l.counters[key] == nil {
				wrong = append(wrong, fmt.Sprintf("key %q was written by nobody", key))
			}
		}
		if cursor = page[0].(string); cursor == "0" {
			return wrong, nil
		}
	}
}

// String sums the ledger up.
func (l *Ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(l.counters)) {
		parts = append(parts, fmt.Sprintf("%s %d of %d", key, l.counters[key].acked, l.counters[key].attempted))
	}
	return fmt.Sprintf("%d slots, %s", len(l.slots), strings.Join(parts, ", "))
}
