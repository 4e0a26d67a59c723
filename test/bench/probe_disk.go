package main

import (
	"context"
	"errors"
	"flag"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/persist"
)

// probeDisk gives what the store of a node takes on disk after many overwrites of a few keys, and after
// those are removed too, while it runs and once it has been closed.
func probeDisk(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 1_000_000, "overwrites")
	keys := fs.Int("keys", 1000, "distinct keys")
	return inFolder(func(ctx context.Context, dir string) (values, error) {
		store, err := persist.Open(persist.Config{Dir: dir})
		if err != nil {
			return nil, err
		}
		f, err := fabric.Open(ctx, fabric.Config{Name: "bench", Storage: store})
		if err != nil {
			return nil, errors.Join(err, store.Close())
		}
		got, err := overwriteAndRemove(ctx, f, dir, *n, keysInOrder(*keys))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		if got["closed"], err = diskBytes(dir); err != nil {
			return nil, err
		}
		got["live_bytes"] = float64(*keys * (keyBytes + valueBytes))
		return got, nil
	})
}

func overwriteAndRemove(ctx context.Context, f *fabric.Fabric, dir string, n int, keys []string) (values, error) {
	r, err := f.Region(fabric.DefaultRegion)
	if err != nil {
		return nil, err
	}
	next := valueSource(1)
	for i := range n {
		if err := put(ctx, r, keys[i%len(keys)], next()); err != nil {
			return nil, err
		}
	}
	overwritten, err := settledDisk(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := r.Update(ctx, func(tx *crdt.Tx) error { tx.Del(k); return nil }); err != nil {
			return nil, err
		}
	}
	removed, err := settledDisk(ctx, dir)
	return values{"overwritten": overwritten, "removed": removed}, err
}

// settledDisk waits until the directory has not changed its size for a while; the store flushes and
// compacts in the background.
func settledDisk(ctx context.Context, dir string) (float64, error) {
	const (
		calm  = 2 * time.Second
		limit = 30 * time.Second
	)
	last, err := diskBytes(dir)
	since := time.Now()
	for end := since.Add(limit); err == nil && time.Now().Before(end) && time.Since(since) < calm; {
		time.Sleep(100 * time.Millisecond)
		var now float64
		if now, err = diskBytes(dir); now != last {
			last, since = now, time.Now()
		}
	}
	return last, errors.Join(err, ctx.Err())
}
