package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Probes of the embedded form: a fabric in memory, without a transport and without a disk.

// openAlone gives the default region of such a fabric.
func openAlone(ctx context.Context) (*fabric.Region, func(), error) {
	f, err := fabric.Open(ctx, fabric.Config{Name: "bench"})
	if err != nil {
		return nil, nil, err
	}
	r, err := f.Region(fabric.DefaultRegion)
	return r, func() { _ = f.Close() }, err // nothing is kept, so nothing is lost
}

// put writes one register, as a program would: one transaction, acknowledged as the region says.
func put(ctx context.Context, r *fabric.Region, k string, v []byte) error {
	return r.Update(ctx, func(tx *crdt.Tx) error {
		tx.Set(k, v, false)
		return nil
	})
}

func putAll(ctx context.Context, r *fabric.Region, keys []string, seed uint64) error {
	next := valueSource(seed)
	for _, k := range keys {
		if err := put(ctx, r, k, next()); err != nil {
			return err
		}
	}
	return nil
}

// probeWrite gives writes a second by one goroutine, and by one for each core, on keys that exist.
// Each write brings a value of its own.
func probeWrite(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("keys", 100_000, "distinct keys")
	span := fs.Duration("for", 2*time.Second, "time to write for")
	return func(ctx context.Context) (values, error) {
		r, done, err := openAlone(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		keys := keysShuffled(*n)
		if err := putAll(ctx, r, keys, 1); err != nil {
			return nil, err
		}
		one, err := timeWrites(ctx, r, keys, *span, 1)
		if err != nil {
			return nil, err
		}
		all, err := timeWrites(ctx, r, keys, *span, runtime.GOMAXPROCS(0))
		return values{"ops": one, "ops_cores": all, "scale": all / one}, err
	}
}

// timeWrites gives writes a second of all writers together. Each has its own share of the keys.
func timeWrites(ctx context.Context, r *fabric.Region, keys []string, span time.Duration, writers int) (float64, error) {
	const block = 1000
	counts, faults := make([]int, writers), make([]error, writers)
	share := len(keys) / writers
	values := make([][]byte, 1<<12) // they are there before the clock runs, as the keys are: to make one takes a fifth of the time of writing it
	for next, i := valueSource(1), 0; i < len(values); i++ {
		values[i] = next()
	}
	runtime.GC()
	began := time.Now()
	var wg sync.WaitGroup
	for w := range writers {
		mine := keys[w*share : (w+1)*share]
		wg.Go(func() {
			for i := 0; time.Since(began) < span && faults[w] == nil; i += block {
				for j := range block {
					if err := put(ctx, r, mine[(i+j)%len(mine)], values[(i+j)%len(values)]); err != nil {
						faults[w] = err
						return
					}
				}
				counts[w] += block
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	total := 0
	for w := range writers {
		if faults[w] != nil {
			return 0, faults[w]
		}
		total += counts[w]
	}
	return float64(total) / took, nil
}

// probeRead gives nanoseconds for a read at n keys: view, look up, touch the value.
func probeRead(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 1_000_000, "keys")
	span := fs.Duration("for", 2*time.Second, "time to read for")
	return func(ctx context.Context) (values, error) {
		r, done, err := openAlone(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		if err := putAll(ctx, r, keysInOrder(*n), 1); err != nil {
			return nil, err
		}
		return values{"ns": timeReads(keysShuffled(*n), *span, func(k string) (b byte) {
			r.View(func(v *crdt.View) {
				if val, ok, err := v.Get(k); ok && err == nil {
					b = val[0]
				}
			})
			return b
		})}, nil
	}
}

// probeGC gives milliseconds for a full collection with n entries live.
func probeGC(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 5_000_000, "entries")
	return func(ctx context.Context) (values, error) {
		r, done, err := openAlone(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		next := valueSource(1)
		for i := range *n {
			if err := put(ctx, r, key(i), next()); err != nil {
				return nil, err
			}
		}
		return values{"ms": timeGC()}, nil
	}
}

// probeBytes gives resident bytes an entry of the embedded form, once the collector has given back
// what loading used: what the entries need, with index and causal metadata.
func probeBytes(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 1_000_000, "entries")
	return func(ctx context.Context) (values, error) {
		r, done, err := openAlone(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		before, err := settledRSS()
		if err != nil {
			return nil, err
		}
		next := valueSource(1)
		for i := range *n {
			if err := put(ctx, r, key(i), next()); err != nil {
				return nil, err
			}
		}
		after, err := settledRSS()
		if err != nil {
			return nil, err
		}
		if got := entries(r); got != *n {
			return nil, fmt.Errorf("%d entries are there, not %d", got, *n)
		}
		return values{"bytes": (after - before) / float64(*n)}, nil
	}
}

func settledRSS() (float64, error) {
	debug.FreeOSMemory()
	return rssBytes(0)
}

func entries(r *fabric.Region) (n int) {
	r.View(func(v *crdt.View) { n = v.Len() })
	return n
}
