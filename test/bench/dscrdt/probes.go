package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// probeWrite gives local writes a second.
func probeWrite(fs *flag.FlagSet) func(context.Context) (figures, error) {
	count := fs.Int("n", 20_000, "writes")
	batch := fs.Int("batch", 1, "writes in one batch; 1 for none")
	return func(ctx context.Context) (figures, error) {
		n, err := openAlone(ctx, options(nil))
		if err != nil {
			return nil, err
		}
		defer n.close()
		began := time.Now()
		if err := n.putAll(ctx, *count, *count, *batch); err != nil {
			return nil, err
		}
		return figures{"ops": float64(*count) / time.Since(began).Seconds()}, nil
	}
}

// probeHop gives the time from a write at one node until its neighbour shows it, in microseconds.
func probeHop(fs *flag.FlagSet) func(context.Context) (figures, error) {
	samples := fs.Int("n", 100, "writes to time")
	gap := fs.Duration("gap", 20*time.Millisecond, "rest between two writes")
	return func(ctx context.Context) (figures, error) {
		arrived := make(chan time.Time, 1) // one write is on its way at a time
		a, b, err := openPair(ctx, func(ds.Key) { arrived <- time.Now() })
		if err != nil {
			return nil, err
		}
		defer a.close()
		defer b.close()
		var took []float64
		for i := range *samples {
			began := time.Now()
			if err := a.crdt.Put(ctx, key(i), value()); err != nil {
				return nil, err
			}
			select {
			case at := <-arrived:
				took = append(took, float64(at.Sub(began).Microseconds()))
			case <-ctx.Done():
				return nil, fmt.Errorf("write %d did not arrive: %w", i, ctx.Err())
			}
			time.Sleep(*gap)
		}
		slices.Sort(took)
		return figures{"p50_us": took[len(took)/2], "p99_us": took[len(took)*99/100]}, nil
	}
}

// openPair connects two nodes and waits until a write gets from the first to the second.
func openPair(ctx context.Context, arrived func(ds.Key)) (a, b *node, err error) {
	var ready atomic.Bool
	first := make(chan struct{}, 1) // only the first arrival counts
	if a, err = openNode(ctx, "127.0.0.1:0", options(nil)); err != nil {
		return nil, nil, err
	}
	b, err = openNode(ctx, "127.0.0.1:0", options(func(k ds.Key) {
		if ready.Load() {
			arrived(k)
			return
		}
		select {
		case first <- struct{}{}:
		default:
		}
	}))
	if err != nil {
		return nil, nil, err
	}
	if err := b.connect(ctx, a, ""); err != nil {
		return nil, nil, err
	}
	if err := a.crdt.Put(ctx, key(1<<40), value()); err != nil {
		return nil, nil, err
	}
	select {
	case <-first:
		ready.Store(true)
		return a, b, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// probeCatchup gives the seconds from the connection until an empty replica has everything.
func probeCatchup(fs *flag.FlagSet) func(context.Context) (figures, error) {
	count := fs.Int("n", 50_000, "entries")
	batch := fs.Int("batch", 1000, "entries written in one batch; 1 for none")
	listen := fs.String("listen", "127.0.0.1:0", "TCP address of the full replica")
	dial := fs.String("dial", "", "TCP address that leads there; empty for its own")
	return func(ctx context.Context) (figures, error) {
		var arrived atomic.Int64
		all := make(chan struct{}, 1) // filled once, by the last entry
		a, err := openNode(ctx, *listen, options(nil))
		if err != nil {
			return nil, err
		}
		defer a.close()
		if err := a.putAll(ctx, *count, *count, *batch); err != nil {
			return nil, err
		}
		b, err := openNode(ctx, "127.0.0.1:0", options(func(ds.Key) {
			if arrived.Add(1) == int64(*count) {
				all <- struct{}{}
			}
		}))
		if err != nil {
			return nil, err
		}
		defer b.close()
		began := time.Now()
		if err := b.connect(ctx, a, *dial); err != nil {
			return nil, err
		}
		select {
		case <-all:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d entries arrived: %w", arrived.Load(), *count, ctx.Err())
		}
		return figures{
			"seconds":       time.Since(began).Seconds(),
			"payload_bytes": float64(*count * (keyBytes + valueBytes)),
		}, nil
	}
}

// probeDisk gives the bytes that the store is left with per overwrite, and once every key is gone.
// It counts keys and values only, which favours go-ds-crdt: a store on disk adds its own.
func probeDisk(fs *flag.FlagSet) func(context.Context) (figures, error) {
	count := fs.Int("n", 100_000, "overwrites")
	keys := fs.Int("keys", 1000, "distinct keys")
	batch := fs.Int("batch", 1000, "writes in one batch")
	return func(ctx context.Context) (figures, error) {
		n, err := openAlone(ctx, options(nil))
		if err != nil {
			return nil, err
		}
		defer n.close()
		if err := n.putAll(ctx, *count, *keys, *batch); err != nil {
			return nil, err
		}
		after, err := n.storedBytes(ctx)
		if err != nil {
			return nil, err
		}
		for i := range *keys {
			if err := n.crdt.Delete(ctx, key(i)); err != nil {
				return nil, err
			}
		}
		removed, err := n.storedBytes(ctx)
		if err != nil {
			return nil, err
		}
		return figures{
			"bytes_per_overwrite": float64(after) / float64(*count),
			"bytes_overwritten":   float64(after),
			"bytes_removed":       float64(removed),
		}, nil
	}
}

func (n *node) storedBytes(ctx context.Context) (total int, err error) {
	res, err := n.store.Query(ctx, query.Query{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, res.Close()) }()
	for e := range res.Next() {
		if e.Error != nil {
			return 0, e.Error
		}
		total += len(e.Key) + len(e.Value)
	}
	return total, nil
}
