package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// handle is what the typed handles share.
type handle struct {
	c           Client
	region, key string
}

func (h handle) write(ctx context.Context, op string, a Args) (Result, error) {
	results, err := h.c.Write(ctx, h.region, Op{Op: op, Key: h.key, Args: a})
	if err != nil || len(results) == 0 {
		return Result{}, err
	}
	return results[0], nil
}

// read gives the entry, which must be of a type.
func (h handle) read(ctx context.Context, kind crdt.Kind) (Entry, error) {
	e, err := h.c.Read(ctx, h.region, h.key)
	if err == nil && e.Type != kind.String() {
		err = fmt.Errorf("%w: region %q, key %.64q is a %s", crdt.ErrWrongType, h.region, h.key, e.Type)
	}
	return e, err
}

// Delete removes the entry, as far as the node has seen it. It reports whether there was one.
func (h handle) Delete(ctx context.Context) (found bool, err error) {
	res, err := h.write(ctx, "entry/delete", Args{})
	return res.Changed > 0, err
}

// Register is a value that the last writer wins.
type Register[T any] struct {
	handle
	codec fabric.Codec[T]
}

// RegisterOf gives the register at key with a codec: fabric.JSON, fabric.Raw, fabric.Binary, or one of yours.
func RegisterOf[T any](c Client, region, key string, codec fabric.Codec[T]) Register[T] {
	return Register[T]{handle{c, region, key}, codec}
}

// Get reads the value. Errors: fabric.ErrNotFound, crdt.ErrWrongType, the codec's, the client's.
func (r Register[T]) Get(ctx context.Context) (T, error) {
	v, _, err := r.get(ctx)
	return v, err
}

func (r Register[T]) get(ctx context.Context) (v T, tag string, err error) {
	e, err := r.read(ctx, crdt.KindString)
	if err != nil {
		return v, "", err
	}
	v, err = r.codec.Decode([]byte(*e.Value))
	return v, e.ETag, err
}

// Set writes the value.
func (r Register[T]) Set(ctx context.Context, v T) error { return r.set(ctx, v, Op{}) }

func (r Register[T]) set(ctx context.Context, v T, op Op) error {
	b, err := r.codec.Encode(v)
	if err != nil {
		return err
	}
	text := string(b)
	op.Op, op.Key, op.Value = "register/set", r.key, &text
	_, err = r.c.Write(ctx, r.region, op)
	return err
}

// updateTries is how often Update begins anew when others write meanwhile.
const updateTries = 16

// Update replaces the value by what fn makes of it, the zero value where there is none. It is checked on the node that nobody wrote in
// between, and else tried again; a write of another node that comes by merge is a later or a concurrent one, as any. Errors: fn's, ErrCondition after 16
// tries, those of Get and Set.
func (r Register[T]) Update(ctx context.Context, fn func(old T) (T, error)) error {
	var last error
	for range updateTries {
		old, tag, err := r.get(ctx)
		op := Op{IfMatch: tag}
		if errors.Is(err, fabric.ErrNotFound) || errors.Is(err, fabric.ErrNoRegion) {
			op = Op{IfNoneMatch: "*"}
		} else if err != nil {
			return err
		}
		v, err := fn(old)
		if err != nil {
			return err
		}
		if last = r.set(ctx, v, op); !errors.Is(last, ErrCondition) {
			return last
		}
	}
	return last
}

// Counter is a sum of increments and decrements from anywhere.
type Counter struct{ handle }

// CounterOf gives the counter at key.
func CounterOf(c Client, region, key string) Counter { return Counter{handle{c, region, key}} }

// Add adds n and gives the sum as it is at the node. Error: ErrQueued, with which n is added when a holder is reached.
func (c Counter) Add(ctx context.Context, n int64) (sum int64, err error) {
	res, err := c.write(ctx, "counter/add", Args{By: &n})
	if err == nil && res.Queued {
		return 0, ErrQueued
	}
	if err != nil || res.Value == nil {
		return 0, err
	}
	return strconv.ParseInt(*res.Value, 10, 64)
}

// Value reads the sum; 0 where there is none.
func (c Counter) Value(ctx context.Context) (sum int64, err error) {
	e, err := c.read(ctx, crdt.KindString)
	if errors.Is(err, fabric.ErrNotFound) || errors.Is(err, fabric.ErrNoRegion) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if sum, err = strconv.ParseInt(*e.Value, 10, 64); err != nil {
		return 0, fmt.Errorf("%w: region %q, key %.64q", crdt.ErrNotInteger, c.region, c.key)
	}
	return sum, nil
}

// BoundedCounter never passes its limit, also where nodes are cut off from each other: each node holds rights to a part of what is left.
type BoundedCounter struct{ handle }

// BoundedOf gives the bounded counter at key.
func BoundedOf(c Client, region, key string) BoundedCounter {
	return BoundedCounter{handle{c, region, key}}
}

// Create begins the counter with all rights at the node. The limit is a floor, or a ceiling. Errors: crdt.ErrBoundedExists, crdt.ErrBeyondLimit, crdt.ErrOverflow,
// crdt.ErrWrongType, the client's.
func (b BoundedCounter) Create(ctx context.Context, initial, limit int64, ceiling bool) error {
	_, err := b.write(ctx, "bounded/new", Args{Initial: &initial, Limit: &limit, Ceiling: ceiling})
	return err
}

// Add adds n and gives the value as the node shows it. crdt.ErrNoRights says that less rights are at the node than that takes: nothing was written, and
// others are asked for some, so that it may do a moment later. Errors: that one, crdt.ErrNoBounded, crdt.ErrOverflow, crdt.ErrWrongType, the client's.
func (b BoundedCounter) Add(ctx context.Context, n int64) (value int64, err error) {
	res, err := b.write(ctx, "bounded/add", Args{By: &n})
	if err != nil || res.Value == nil {
		return 0, err
	}
	return strconv.ParseInt(*res.Value, 10, 64)
}

// Get gives the value and what is left to the node of the way to the limit. Errors: fabric.ErrNotFound, crdt.ErrWrongType, the client's.
func (b BoundedCounter) Get(ctx context.Context) (value int64, state Bounded, err error) {
	e, err := b.read(ctx, crdt.KindBounded)
	if err != nil || e.Value == nil || e.Bounded == nil {
		return 0, state, err
	}
	value, err = strconv.ParseInt(*e.Value, 10, 64)
	return value, *e.Bounded, err
}

// Set is a set in which an add wins over a concurrent remove.
type Set[T any] struct {
	handle
	codec fabric.Codec[T]
}

// SetOf gives the set at key with a codec, which must be deterministic.
func SetOf[T any](c Client, region, key string, codec fabric.Codec[T]) Set[T] {
	return Set[T]{handle{c, region, key}, codec}
}

// Add adds members, and gives how many were new.
func (s Set[T]) Add(ctx context.Context, members ...T) (int, error) {
	return s.each(ctx, "set/add", members)
}

// Remove removes members, as far as the node has seen them, and gives how many there were.
func (s Set[T]) Remove(ctx context.Context, members ...T) (int, error) {
	return s.each(ctx, "set/remove", members)
}

func (s Set[T]) each(ctx context.Context, op string, members []T) (int, error) {
	texts := make([]string, len(members))
	for i, m := range members {
		b, err := s.codec.Encode(m)
		if err != nil {
			return 0, err
		}
		texts[i] = string(b)
	}
	res, err := s.write(ctx, op, Args{Members: texts})
	return int(res.Changed), err
}

// All gives the members in the order of their bytes, 10,000 at most. Errors: ErrTruncated beyond, those of Client.Read but for absent keys.
func (s Set[T]) All(ctx context.Context) (members []T, err error) {
	e, err := s.read(ctx, crdt.KindSet)
	if errors.Is(err, fabric.ErrNotFound) {
		return nil, nil
	}
	for _, text := range e.Members {
		m, err := s.codec.Decode([]byte(text))
		if err != nil {
			return members, err
		}
		members = append(members, m)
	}
	if err == nil && e.Truncated {
		err = ErrTruncated
	}
	return members, err
}

// ErrTruncated says that an entry has more than one answer holds.
var ErrTruncated = errors.New("client: the entry has more than one answer holds")

// Map is a map of fields, each a register.
type Map[V any] struct {
	handle
	codec fabric.Codec[V]
}

// MapOf gives the map at key with a codec for values.
func MapOf[V any](c Client, region, key string, codec fabric.Codec[V]) Map[V] {
	return Map[V]{handle{c, region, key}, codec}
}

// Set writes one field.
func (m Map[V]) Set(ctx context.Context, field string, v V) error {
	b, err := m.codec.Encode(v)
	if err != nil {
		return err
	}
	_, err = m.write(ctx, "map/put", Args{Fields: map[string]string{field: string(b)}})
	return err
}

// Remove removes one field, as far as the node has seen it. It reports whether there was one.
func (m Map[V]) Remove(ctx context.Context, field string) (bool, error) {
	res, err := m.write(ctx, "map/remove", Args{Names: []string{field}})
	return res.Changed > 0, err
}

// Get reads one field; the whole map comes with it. Errors: fabric.ErrNotFound, those of Get of a register.
func (m Map[V]) Get(ctx context.Context, field string) (v V, err error) {
	e, err := m.read(ctx, crdt.KindMap)
	if err != nil {
		return v, err
	}
	text, ok := e.Fields[field]
	switch {
	case !ok && e.Truncated:
		return v, ErrTruncated
	case !ok:
		return v, fmt.Errorf("%w: field %.64q", fabric.ErrNotFound, field)
	}
	return m.codec.Decode([]byte(text))
}
