package fabric

import (
	"cmp"
	"context"
	"fmt"
	"iter"

	"github.com/edgemem/edgemem/crdt"
)

// Map is a map of fields. Each field is a register, or a counter once Add was used on it; changes to
// different fields never conflict.
type Map[V any] struct {
	handle
	codec Codec[V]
}

// MapOf gives the map at key.
func MapOf[V any](r *Region, key string) Map[V] {
	return Map[V]{handle{r, key}, codecOf[V]()}
}

// Set writes one field.
func (m Map[V]) Set(ctx context.Context, field string, v V) error {
	b, err := m.codec.Encode(v)
	if err == nil && len(field) > crdt.MaxKeyBytes {
		err = fmt.Errorf("%w: a field name of %d bytes, limit %d", ErrTooLarge, len(field), crdt.MaxKeyBytes)
	}
	if err != nil {
		return m.wrap(err)
	}
	return m.update(ctx, b, func(tx *crdt.Tx) error { _, err := tx.MapSet(m.key, field, b); return err })
}

// Add adds n to the counter in a field and gives the sum as it is here.
func (m Map[V]) Add(ctx context.Context, field string, n int64) (sum int64, err error) {
	err = m.update(ctx, nil, func(tx *crdt.Tx) (err error) { sum, err = tx.MapIncr(m.key, field, n); return err })
	return sum, err
}

// Get reads one field. Errors: ErrNotFound, crdt.ErrWrongType, the codec's.
func (m Map[V]) Get(field string) (val V, err error) {
	loading := m.r.viewOne(func(v *crdt.View) {
		b, ok, e := v.MapGet(m.key, field)
		switch {
		case e != nil:
			err = e
		case !ok:
			err = fmt.Errorf("%w: field %.64q", ErrNotFound, field)
		default:
			val, err = m.codec.Decode(b)
		}
	})
	return val, m.wrap(cmp.Or(loading, err))
}

// Remove removes one field, as far as it was seen here. It reports whether there was one.
func (m Map[V]) Remove(ctx context.Context, field string) (removed bool, err error) {
	err = m.shrink(ctx, func(tx *crdt.Tx) (err error) { removed, err = tx.MapDel(m.key, field); return err })
	return removed, err
}

// Len counts the fields.
func (m Map[V]) Len() (n int, err error) {
	loading := m.r.View(func(v *crdt.View) { n, err = v.MapLen(m.key) })
	return n, m.wrap(cmp.Or(loading, err))
}

// Field is one field of a map.
type Field[V any] struct {
	Name  string
	Value V
}

// All gives the fields, as Set.All gives members.
func (m Map[V]) All() iter.Seq2[Field[V], error] {
	return func(yield func(Field[V], error) bool) {
		scan(func(cursor uint64) (batch []pair[Field[V]], next uint64, err error) {
			loading := m.r.View(func(v *crdt.View) {
				next, err = v.MapScan(m.key, cursor, scanStep, func(field string, b []byte) {
					val, e := m.codec.Decode(b)
					batch = append(batch, pair[Field[V]]{Field[V]{field, val}, m.wrap(e)})
				})
			})
			return batch, next, m.wrap(cmp.Or(loading, err))
		}, yield)
	}
}

// KeyInfo is one entry of a region.
type KeyInfo struct {
	Key  string
	Kind crdt.Kind
}

// Scan gives the keys of the region. It holds no lock while the loop's body runs, so it is not one instant: a
// key that is there all the time comes at least once. Error: ErrLoading, as the last.
func (r *Region) Scan() iter.Seq2[KeyInfo, error] {
	return func(yield func(KeyInfo, error) bool) {
		scan(func(cursor uint64) (batch []pair[KeyInfo], next uint64, err error) {
			loading := r.View(func(v *crdt.View) {
				next = v.Scan(cursor, scanStep, func(key string, kind crdt.Kind) {
					batch = append(batch, pair[KeyInfo]{KeyInfo{key, kind}, nil})
				})
			})
			return batch, next, loading
		}, yield)
	}
}
