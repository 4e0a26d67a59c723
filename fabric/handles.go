package fabric

import (
	"cmp"
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/edgemem/edgemem/crdt"
)

// Codec turns values into bytes and back. Encodings must be deterministic where values are set members.
type Codec[T any] interface {
	Encode(T) ([]byte, error)
	Decode([]byte) (T, error)
}

// JSON is the codec that handles use for types other than string and []byte.
type JSON[T any] struct{}

// Encode writes JSON.
func (JSON[T]) Encode(v T) ([]byte, error) { return json.Marshal(v) }

// Decode reads JSON.
func (JSON[T]) Decode(b []byte) (v T, err error) { err = json.Unmarshal(b, &v); return v, err }

// Raw is the codec for strings and byte slices: their bytes.
type Raw[T ~string | ~[]byte] struct{}

// Encode copies the bytes.
func (Raw[T]) Encode(v T) ([]byte, error) { return append([]byte{}, v...), nil }

// Decode copies the bytes.
func (Raw[T]) Decode(b []byte) (T, error) { return T(append([]byte{}, b...)), nil }

// codecOf picks Raw for string and []byte, JSON for the rest.
func codecOf[T any]() Codec[T] {
	var zero T
	switch any(zero).(type) {
	case string:
		return any(Raw[string]{}).(Codec[T])
	case []byte:
		return any(Raw[[]byte]{}).(Codec[T])
	}
	return JSON[T]{}
}

// handle is what the typed handles share.
type handle struct {
	r   *Region
	key string
}

// Key is the entry's key.
func (h handle) Key() string { return h.key }

// Delete removes the entry, as far as it was seen here. It reports whether there was one.
func (h handle) Delete(ctx context.Context) (found bool, err error) {
	err = h.shrink(ctx, func(tx *crdt.Tx) error { found = tx.Del(h.key); return nil })
	return found, err
}

func (h handle) update(ctx context.Context, val []byte, fn func(tx *crdt.Tx) error) error {
	if len(h.key) > crdt.MaxKeyBytes || len(val) > crdt.MaxValueBytes {
		return fmt.Errorf("%w: region %q, key %.32q: key of %d bytes (limit %d), value of %d (limit %d)",
			ErrTooLarge, h.r.name, h.key, len(h.key), crdt.MaxKeyBytes, len(val), crdt.MaxValueBytes)
	}
	return h.wrap(h.r.Update(ctx, fn))
}

// shrink is update for what only removes.
func (h handle) shrink(ctx context.Context, fn func(tx *crdt.Tx) error) error {
	return h.wrap(h.r.Shrink(ctx, fn))
}

func (h handle) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("region %q, key %.64q: %w", h.r.name, h.key, err)
}

// Register is a value that the last writer wins. Concurrent writes are kept until one covers them: see All.
type Register[T any] struct {
	handle
	codec Codec[T]
}

// RegisterOf gives the register at key, with Raw for string and []byte and JSON for other types.
func RegisterOf[T any](r *Region, key string) Register[T] {
	return RegisterWith(r, key, codecOf[T]())
}

// RegisterWith gives the register at key with a codec.
func RegisterWith[T any](r *Region, key string, c Codec[T]) Register[T] {
	return Register[T]{handle{r, key}, c}
}

// Set writes the value. Errors: the codec's, ErrTooLarge, and those of Region.Update.
func (g Register[T]) Set(ctx context.Context, v T) error {
	b, err := g.codec.Encode(v)
	if err != nil {
		return g.wrap(err)
	}
	return g.update(ctx, b, func(tx *crdt.Tx) error { tx.Set(g.key, b, false); return nil })
}

// Get reads the value that the last writer left. Errors: ErrNotFound, crdt.ErrWrongType, crdt.ErrUnreadable, the codec's.
func (g Register[T]) Get() (v T, err error) {
	loading := g.r.viewOne(func(view *crdt.View) {
		b, ok, e := view.Get(g.key)
		switch {
		case e != nil:
			err = e
		case !ok:
			err = ErrNotFound
		default:
			v, err = g.codec.Decode(b)
		}
	})
	return v, g.wrap(cmp.Or(loading, err))
}

// All reads the concurrent values, the one that Get gives first (the multi-value reading). One value, or
// none, means that there is no conflict.
func (g Register[T]) All() (vs []T, err error) {
	loading := g.r.View(func(view *crdt.View) {
		for _, s := range view.Siblings(g.key) {
			v, e := g.codec.Decode(s.Value)
			if e != nil {
				err = e
				return
			}
			vs = append(vs, v)
		}
	})
	return vs, g.wrap(cmp.Or(loading, err))
}

// Counter is a sum of increments and decrements from anywhere.
type Counter struct{ handle }

// CounterOf gives the counter at key.
func CounterOf(r *Region, key string) Counter { return Counter{handle{r, key}} }

// Add adds n and gives the sum as it is here. Errors: crdt.ErrWrongType, crdt.ErrNotInteger,
// crdt.ErrOverflow, and those of Region.Update.
func (c Counter) Add(ctx context.Context, n int64) (sum int64, err error) {
	err = c.update(ctx, nil, func(tx *crdt.Tx) (err error) { sum, err = tx.Incr(c.key, n); return err })
	return sum, err
}

// Value reads the sum; an absent counter is 0. Errors: crdt.ErrWrongType, crdt.ErrNotInteger.
func (c Counter) Value() (sum int64, err error) {
	loading := c.r.View(func(v *crdt.View) { sum, err = v.Int(c.key) })
	return sum, c.wrap(cmp.Or(loading, err))
}

// Set is a set in which an add wins over a concurrent remove.
type Set[T comparable] struct {
	handle
	codec Codec[T]
}

// SetOf gives the set at key.
func SetOf[T comparable](r *Region, key string) Set[T] {
	return Set[T]{handle{r, key}, codecOf[T]()}
}

// Add adds members in one batch and gives how many were new.
func (s Set[T]) Add(ctx context.Context, members ...T) (added int, err error) {
	return s.each(ctx, s.r.Update, members, (*crdt.Tx).SetAdd)
}

// Remove removes members in one batch, as far as they were seen here, and gives how many there were.
func (s Set[T]) Remove(ctx context.Context, members ...T) (removed int, err error) {
	return s.each(ctx, s.r.Shrink, members, (*crdt.Tx).SetRemove)
}

func (s Set[T]) each(ctx context.Context, write func(context.Context, func(*crdt.Tx) error) error, members []T, op func(*crdt.Tx, string, string) (bool, error)) (n int, err error) {
	enc := make([]string, len(members))
	for i, m := range members {
		b, err := s.codec.Encode(m)
		if err == nil && len(b) > crdt.MaxKeyBytes {
			err = fmt.Errorf("%w: a member of %d bytes, limit %d", ErrTooLarge, len(b), crdt.MaxKeyBytes)
		}
		if err != nil {
			return 0, s.wrap(err)
		}
		enc[i] = string(b)
	}
	err = write(ctx, func(tx *crdt.Tx) error {
		for _, m := range enc {
			did, err := op(tx, s.key, m)
			if err != nil {
				return err
			}
			if did {
				n++
			}
		}
		return nil
	})
	return n, s.wrap(err)
}

// Has reports whether the member is in the set.
func (s Set[T]) Has(member T) (has bool, err error) {
	b, err := s.codec.Encode(member)
	if err != nil {
		return false, s.wrap(err)
	}
	loading := s.r.View(func(v *crdt.View) { has, err = v.SetHas(s.key, string(b)) })
	return has, s.wrap(cmp.Or(loading, err))
}

// Len counts the members.
func (s Set[T]) Len() (n int, err error) {
	loading := s.r.View(func(v *crdt.View) { n, err = v.SetLen(s.key) })
	return n, s.wrap(cmp.Or(loading, err))
}

// scanStep is how many entries, members or fields a scan reads under one lock.
const scanStep = 256

// All gives the members. It holds no lock while the loop's body runs, so it is not one instant: a member that
// is there all the time comes at least once.
func (s Set[T]) All() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		scan(func(cursor uint64) (batch []pair[T], next uint64, err error) {
			loading := s.r.View(func(v *crdt.View) {
				next, err = v.SetScan(s.key, cursor, scanStep, func(m string) {
					val, e := s.codec.Decode([]byte(m))
					batch = append(batch, pair[T]{val, s.wrap(e)})
				})
			})
			return batch, next, s.wrap(cmp.Or(loading, err))
		}, yield)
	}
}

type pair[T any] struct {
	v   T
	err error
}

// scan runs a cursor to its end and gives what each step read.
func scan[T any](step func(cursor uint64) ([]pair[T], uint64, error), yield func(T, error) bool) {
	for cursor := uint64(0); ; {
		batch, next, err := step(cursor)
		if err != nil {
			var zero T
			yield(zero, err)
			return
		}
		for _, p := range batch {
			if !yield(p.v, p.err) {
				return
			}
		}
		if cursor = next; cursor == 0 {
			return
		}
	}
}

// Binary is the codec for types that write and read themselves: encoding.BinaryMarshaler and BinaryUnmarshaler, the latter on the pointer.
type Binary[T encoding.BinaryMarshaler, P interface {
	*T
	encoding.BinaryUnmarshaler
}] struct{}

// Encode calls MarshalBinary.
func (Binary[T, P]) Encode(v T) ([]byte, error) { return v.MarshalBinary() }

// Decode calls UnmarshalBinary.
func (Binary[T, P]) Decode(b []byte) (v T, err error) {
	err = P(&v).UnmarshalBinary(b)
	return v, err
}
