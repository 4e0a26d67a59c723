package fabric

import (
	"cmp"
	"context"
	"fmt"
	"iter"

	"github.com/edgemem/edgemem/crdt"
)

// Stream is a log of entries. Those of all nodes stay, in the order of their ids.
type Stream struct{ handle }

// StreamOf gives the stream at key.
func StreamOf(r *Region, key string) Stream { return Stream{handle{r, key}} }

// StreamField is one field of an entry. An entry's fields keep their order, and a name may come twice.
type StreamField struct{ Name, Value string }

// StreamEntry is one entry.
type StreamEntry struct {
	ID     crdt.StreamID
	Fields []StreamField
}

// Add adds an entry under a new id, which is of the present millisecond, or beyond the last that shows here. Errors:
// crdt.ErrWrongType, crdt.ErrStreamFull, ErrTooLarge, and those of Region.Update.
func (s Stream) Add(ctx context.Context, fields ...StreamField) (id crdt.StreamID, err error) {
	flat, size := make([][]byte, 0, 2*len(fields)), 0
	for _, f := range fields {
		flat = append(flat, []byte(f.Name), []byte(f.Value))
		size += len(f.Name) + len(f.Value)
	}
	if size > crdt.MaxValueBytes {
		return id, s.wrap(fmt.Errorf("%w: an entry of %d bytes, limit %d", ErrTooLarge, size, crdt.MaxValueBytes))
	}
	err = s.update(ctx, nil, func(tx *crdt.Tx) (err error) { id, err = tx.StreamAppend(s.key, flat); return err })
	return id, err
}

// Remove removes entries, as far as they were seen here, and gives how many there were.
func (s Stream) Remove(ctx context.Context, ids ...crdt.StreamID) (removed int, err error) {
	err = s.shrink(ctx, func(tx *crdt.Tx) (err error) { removed, err = tx.StreamRemove(s.key, ids...); return err })
	return removed, err
}

// Trim removes the first entries but for the last keep, as far as they were seen here, and gives how many there were.
func (s Stream) Trim(ctx context.Context, keep int) (removed int, err error) {
	err = s.shrink(ctx, func(tx *crdt.Tx) error {
		n, err := tx.StreamLen(s.key)
		if err == nil {
			removed, err = tx.StreamTrim(s.key, n-max(keep, 0))
		}
		return err
	})
	return removed, err
}

// Len counts the entries.
func (s Stream) Len() (n int, err error) {
	loading := s.r.View(func(v *crdt.View) { n, err = v.StreamLen(s.key) })
	return n, s.wrap(cmp.Or(loading, err))
}

// All gives the entries that are here, in the order of their ids as far as they do not arrive meanwhile: those come behind them. It holds
// no lock while the loop's body runs.
func (s Stream) All() iter.Seq2[StreamEntry, error] {
	return func(yield func(StreamEntry, error) bool) {
		s.read(crdt.StreamCursor{}, yield)
	}
}

// Follow gives all entries with ids above one, the zero id for all, in their order; then each one as it arrives, also one that another node
// wrote earlier, whose id is below those that were given. So each entry comes once. It ends with ctx, when the loop is left, or with an
// error: crdt.ErrWrongType, crdt.ErrUnreadable, ErrLoading, ErrClosed. Who follows anew begins at an id, and misses what arrived below it
// in between.
func (s Stream) Follow(ctx context.Context, above crdt.StreamID) iter.Seq2[StreamEntry, error] {
	return func(yield func(StreamEntry, error) bool) {
		var at crdt.StreamCursor
		if err := s.r.View(func(v *crdt.View) { at = v.StreamFrom(above) }); err != nil {
			yield(StreamEntry{}, s.wrap(err))
			return
		}
		for {
			next := s.r.changes.next()
			more := false
			if at, more = s.read(at, yield); !more {
				return
			}
			select {
			case <-next:
			case <-ctx.Done():
				return
			case <-s.r.f.ctx.Done():
				yield(StreamEntry{}, s.wrap(ErrClosed))
				return
			}
		}
	}
}

// read gives what there is from a place on, a part under each lock. more is false when the loop was left, or after an error.
func (s Stream) read(at crdt.StreamCursor, yield func(StreamEntry, error) bool) (next crdt.StreamCursor, more bool) {
	for {
		var batch []StreamEntry
		var err error
		loading := s.r.View(func(v *crdt.View) {
			at, err = v.StreamRead(s.key, at, scanStep, func(id crdt.StreamID, fields [][]byte) bool {
				batch = append(batch, entryOf(id, fields))
				return true
			})
		})
		for _, e := range batch {
			if !yield(e, nil) {
				return at, false
			}
		}
		if err = cmp.Or(loading, err); err != nil {
			yield(StreamEntry{}, s.wrap(err))
			return at, false
		}
		if len(batch) == 0 {
			return at, true
		}
	}
}

// entryOf copies an entry out of a view.
func entryOf(id crdt.StreamID, fields [][]byte) StreamEntry {
	e := StreamEntry{ID: id, Fields: make([]StreamField, 0, len(fields)/2)}
	for i := 0; i+1 < len(fields); i += 2 {
		e.Fields = append(e.Fields, StreamField{string(fields[i]), string(fields[i+1])})
	}
	return e
}
