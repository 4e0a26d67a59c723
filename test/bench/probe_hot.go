package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/persist"
)

// Values of the hot tenth are larger than elsewhere: what stays in memory of one that left it is some 60 bytes beside its key.
const hotValueBytes = 1000

// allInMemory is the region without a budget.
const allInMemory = "all in memory"

// hotRows are about a region of four times a node's budget.
func hotRows() []row {
	return []row{{
		name: "hot", rounds: 3, open: openHot,
		figures: []figure{
			{key: "ns", title: "read of the hot tenth, region of 4 budgets, values of 1 KB", unit: nanoseconds,
				refs: []string{allInMemory}, reach: "memory speed: ≤ 1.2 × all in memory", met: atMostTimes(1.2)},
			{key: "miss", title: "the same, of those reads from disk", unit: nanoseconds},
			{key: "share", title: "the same, region to memory taken", unit: times, reach: "≥ 4 ×", met: atLeast(4)},
		},
	}}
}

func openHot(_ context.Context, e *env) ([]side, func(), error) {
	span, n := e.span(2*time.Second, 200*time.Millisecond).String(), fmt.Sprint(e.size(200_000, 8_000))
	return []side{
		e.probeSide(allInMemory, nil, "hot", "-for", span, "-n", n, "-parts", "0"),
		e.probeSide(edgemem, nil, "hot", "-for", span, "-n", n),
	}, nil, nil
}

// probeHot writes n values to a region of so many budgets, 0 for none, reads a tenth until it has come back, and gives the time of one
// read of these, and of one of the others, which are on disk.
func probeHot(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 200_000, "keys")
	span := fs.Duration("for", 2*time.Second, "time to read for")
	parts := fs.Int("parts", 4, "budgets that the region takes; 0: it has no budget")
	return inFolder(func(ctx context.Context, dir string) (values, error) {
		store, err := persist.Open(persist.Config{Dir: dir})
		if err != nil {
			return nil, err
		}
		c := fabric.Config{Name: "bench", Storage: store}
		if *parts > 0 {
			c.MemoryBudget = int64(*n * (hotValueBytes + keyBytes) / *parts)
			c.MemoryReserve = c.MemoryBudget / 16
		}
		f, err := fabric.Open(ctx, c)
		if err != nil {
			return nil, errors.Join(err, store.Close())
		}
		got, err := readHot(ctx, f, *n, *span)
		return got, errors.Join(err, f.Close())
	})
}

func readHot(ctx context.Context, f *fabric.Fabric, n int, span time.Duration) (values, error) {
	r, err := f.Region(fabric.DefaultRegion)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(1, 1))
	val := make([]byte, hotValueBytes)
	for i := range n {
		for k := range val {
			val[k] = byte(rng.Uint32())
		}
		if err := put(ctx, r, key(i), append([]byte(nil), val...)); err != nil {
			return nil, err
		}
	}
	var hot, cold []string
	for _, i := range rng.Perm(n) {
		if i%10 == 0 {
			hot = append(hot, key(i))
		} else {
			cold = append(cold, key(i))
		}
	}
	var buf []byte
	read := func(k string) byte {
		b, ok, err := r.Get(buf[:0], k)
		if buf = b; err != nil || !ok || len(b) != hotValueBytes {
			panic(fmt.Sprintf("%s: %d bytes, %v", k, len(b), err)) // what was written must be there
		}
		return b[0]
	}
	for range 4 { // until they have come back, and have been read often enough to stay
		for _, k := range hot {
			read(k)
		}
		time.Sleep(100 * time.Millisecond)
	}
	before := f.Eviction().Faults
	got := values{"ns": timeReads(hot, span, read)}
	got["faults"] = float64(f.Eviction().Faults - before)
	used := f.Memory().Used
	got["share"] = float64(n*(hotValueBytes+keyBytes)) / float64(max(used, 1))
	misses := min(len(cold), 2000)
	began := time.Now()
	for _, k := range cold[:misses] {
		read(k)
	}
	got["miss"] = float64(time.Since(began).Nanoseconds()) / float64(misses)
	return got, nil
}
