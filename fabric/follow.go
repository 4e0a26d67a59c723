package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// EventKind says what an Event tells.
type EventKind uint8

const (
	EventEntry  EventKind = iota // an entry as it is now, in the snapshot or after a change; also one that is gone
	EventCaught                  // all that was there when the walk began has been told: from here on changes follow
	EventReset                   // what the follower knows may not be so any more: a snapshot follows, and what is not in it is gone
	EventPulse                   // nothing new, but the cursor is ahead of the last one
)

// Event is one event of Follow. To go on after it, give its Cursor.
type Event[T any] struct {
	Kind   EventKind
	Key    string // of EventEntry
	Value  T      // of EventEntry: what read gave
	More   bool   // another event follows at once
	Cursor Cursor
}

// FollowConfig says what to follow.
type FollowConfig struct {
	// Prefix of the keys. Default: all.
	Prefix string
	// From is where to go on. Default: the beginning.
	From Cursor
	// Pulse is how often a follower to whom nothing is told hears its cursor, which otherwise grows old where only other keys change.
	// Default: 0, never.
	Pulse time.Duration
}

// Bounds of what a follower makes the node hold at once.
const (
	followKeys  = 1024      // changed keys that are found together
	followStep  = 64        // entries that are read under one lock,
	followBytes = 256 << 10 // unless they have so many bytes
	followEarly = 4096      // entries that were told in a state of after the walk began
)

// Follow tells the state of the entries whose keys start with a prefix, then EventCaught, then every change until ctx ends or the fabric is
// closed (ErrClosed). read copies what is wanted of an entry that may be gone, and says about how many bytes it took.
//
// Several changes of a key in a row may be told as one: a follower that is slow holds up nobody and costs no memory. After a
// break it goes on at the Cursor of the last event, also at another node or after a restart, and is told what changed since: no state that
// it was told is missing or told again, with these exceptions.
//
//   - EventReset comes first where the replica cannot tell what changed: when removes were forgotten that the cursor has not seen, when the
//     whole region was emptied, or when the replica has not seen all that the cursor has (call At with the cursor's Token first).
//   - An entry that changed in the moment between the beginning of a walk and its turn is told again if the break is within that walk.
//   - What an unfinished pull has brought is told when it comes, and again after a break.
//
// An entry whose expiry passes is told when it is removed. It takes the time of a scan for the snapshot and then for each change a look at all
// changes of the region, whatever the prefix. Errors: ErrToken, *NotHeldError, ErrLoading, ErrClosed, each as the last.
func Follow[T any](ctx context.Context, r *Region, c FollowConfig, read func(v *crdt.View, key string) (val T, bytes int)) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		f := &follower[T]{r: r, prefix: c.Prefix, at: c.From, read: read, yield: yield}
		err := r.check(c.From.Token())
		if err == nil {
			err = f.run(ctx, c.Pulse)
		}
		if err != nil && !errors.Is(err, errLeft) && ctx.Err() == nil {
			yield(Event[T]{}, err)
		}
	}
}

// errLeft ends a follower whose loop was left.
var errLeft = errors.New("fabric: the loop was left")

// follower is one call of Follow. It keeps no queue: what it is to tell next follows from its cursor and the replica.
//
// It walks over the hashes: over those that are not known by a scan, over the others by what changed. A walk makes everything
// known as of its beginning, and what it reads in a later state is remembered, lest the next one tell it again.
type follower[T any] struct {
	r      *Region
	prefix string
	at     Cursor
	read   func(v *crdt.View, key string) (T, int)
	yield  func(Event[T], error) bool
	caught bool
	batch  []Event[T]

	walking bool
	began   zone    // the context of the walk's beginning
	pos     uint64  // everything below is known as of it
	keys    []keyAt // to be told next,
	next    uint64  // and then pos is here; 0 is the end of all

	early   map[string]uint64 // fingerprints of what was told in a state of after the walk's beginning,
	earlier map[string]uint64 // and of the walk before
}

func (f *follower[T]) run(ctx context.Context, pulse time.Duration) error {
	var pulses <-chan time.Time
	if pulse > 0 {
		t := time.NewTicker(pulse)
		defer t.Stop()
		pulses = t.C
	}
	for {
		next := f.r.changes.next()
		told, err := f.catchUp(ctx)
		if err != nil {
			return err
		}
		if !f.caught {
			f.caught, told = true, true
			if err := f.tell(Event[T]{Kind: EventCaught, Cursor: f.at}); err != nil {
				return err
			}
		}
		if told {
			continue // it took time
		}
		select {
		case <-next:
		case <-pulses:
			if err := f.tell(Event[T]{Kind: EventPulse, Cursor: f.at}); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		case <-f.r.f.ctx.Done():
			return ErrClosed
		}
	}
}

func (f *follower[T]) tell(e Event[T]) error {
	if !f.yield(e, nil) {
		return errLeft
	}
	return nil
}

// catchUp tells what is new until the cursor is steady. told: there was something.
func (f *follower[T]) catchUp(ctx context.Context) (told bool, err error) {
	for {
		more, err := f.step()
		if err != nil {
			return told, err
		}
		told = told || len(f.batch) > 0
		for i, e := range f.batch {
			e.More = i < len(f.batch)-1
			if err := f.tell(e); err != nil {
				return told, err
			}
		}
		clear(f.batch)
		f.batch = f.batch[:0]
		if !more {
			return told, nil
		}
		if ctx.Err() != nil {
			return told, errLeft
		}
		if f.r.f.closed.Load() {
			return told, ErrClosed
		}
	}
}

// step reads one part of what is new into batch and moves the cursor beyond it.
func (f *follower[T]) step() (more bool, err error) {
	err = f.r.View(func(v *crdt.View) {
		if more = f.ready(v) && f.find(v); more {
			f.part(v)
		}
		more = more || len(f.batch) > 0
	})
	if errors.Is(err, crdt.ErrUnreadable) {
		err = nil // read has met it
	}
	return more, err
}

// ready begins a walk if there is none. It reports false when there is nothing to walk for.
func (f *follower[T]) ready(v *crdt.View) bool {
	if f.walking {
		return true
	}
	switch t := f.at.Token(); {
	case len(f.at.zones) == 0:
		f.at = Cursor{f.r.id, []zone{{}}}
	case !v.Covers(t.seen):
		f.reset()
	case len(f.at.zones) == 1 && f.at.zones[0].seen != nil && t.seen.Covers(v.Context()):
		return false
	}
	f.began = zone{seen: v.Context(), forgot: v.Forgot()}
	f.walking, f.pos, f.next, f.keys = true, 0, 0, nil
	f.earlier, f.early = f.early, nil
	return true
}

// reset makes the follower begin anew.
func (f *follower[T]) reset() {
	f.at = Cursor{f.r.id, []zone{{}}}
	f.walking, f.caught, f.early = false, false, nil
	f.batch = append(f.batch, Event[T]{Kind: EventReset})
}

// find finds the next keys. It reports false where the replica cannot tell what changed, and the follower begins anew.
func (f *follower[T]) find(v *crdt.View) bool {
	if len(f.keys) > 0 {
		return true
	}
	z := f.at.at(f.pos)
	f.next = z.end
	if z.seen == nil {
		f.scan(v, z)
		return true
	}
	first := firstKeys{most: followKeys}
	if !v.ChangedSince(z.seen, z.forgot, func(hash uint64, key []byte) {
		if hash >= f.pos && (z.end == 0 || hash < z.end) && bytes.HasPrefix(key, []byte(f.prefix)) {
			first.add(keyAt{hash, string(key)})
		}
	}) {
		f.reset()
		return false
	}
	keys, more := first.take()
	if f.keys = keys; more {
		f.next = keys[len(keys)-1].hash + 1
	}
	return true
}

// scan finds the next keys of a zone that is not known.
func (f *follower[T]) scan(v *crdt.View, z zone) {
	next := v.Scan(f.pos, followStep, func(key string, _ crdt.Kind) {
		if hash := v.EntryHash(key); strings.HasPrefix(key, f.prefix) && (z.end == 0 || hash < z.end) {
			f.keys = append(f.keys, keyAt{hash, key})
		}
	})
	if next != 0 && (z.end == 0 || next < z.end) {
		f.next = next
	}
}

// part tells some of the keys that were found, and ends the walk after the last.
func (f *follower[T]) part(v *crdt.View) {
	for n, bytes := 0, 0; len(f.keys) > 0; n++ {
		if n == followStep || bytes >= followBytes {
			return
		}
		p := f.keys[0]
		f.keys = f.keys[1:]
		told := len(f.batch)
		bytes += f.add(v, p.key)
		if f.pos = f.next; len(f.keys) > 0 {
			f.pos = f.keys[0].hash
		}
		f.at = f.at.below(f.pos, f.began)
		if len(f.batch) > told {
			f.batch[told].Cursor = f.at
		}
	}
	f.pos = f.next
	f.at = f.at.below(f.pos, f.began)
	f.walking = f.pos != 0
}

// add tells an entry, unless this state of it was told in the walk before.
func (f *follower[T]) add(v *crdt.View, key string) (bytes int) {
	if print, told := f.earlier[key]; told && v.Fingerprint(key) == print {
		f.noteEarly(v, key)
		return 0
	}
	f.noteEarly(v, key)
	val, bytes := f.read(v, key)
	f.batch = append(f.batch, Event[T]{Kind: EventEntry, Key: key, Value: val})
	return bytes + len(key)
}

// noteEarly remembers a state that the next walk will come across again.
func (f *follower[T]) noteEarly(v *crdt.View, key string) {
	if len(f.early) >= followEarly || !v.Newer(f.began.seen, key) {
		return
	}
	if f.early == nil {
		f.early = map[string]uint64{}
	}
	f.early[key] = v.Fingerprint(key)
}

// String names the kind of event.
func (k EventKind) String() string {
	switch k {
	case EventEntry:
		return "entry"
	case EventCaught:
		return "caught-up"
	case EventReset:
		return "reset"
	case EventPulse:
		return "pulse"
	}
	return fmt.Sprint("EventKind(", uint8(k), ")")
}
