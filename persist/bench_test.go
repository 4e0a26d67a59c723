package persist_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/persist"
)

// BenchmarkCommit: batches of records of 16 + 100 bytes, each batch fsynced.
func BenchmarkCommit(b *testing.B) {
	for _, profile := range []persist.Profile{persist.ProfileDevice, persist.ProfileServer} {
		for _, records := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("%s/%d", profile, records), func(b *testing.B) {
				s := openStore(b, persist.Config{Dir: b.TempDir(), Profile: profile})
				batch := sampleBatch(0, records)
				for i := 0; b.Loop(); i++ {
					for r := range batch {
						batch[r].Key = fmt.Appendf(batch[r].Key[:0], "%016d", (i*records+r)%200_000)
					}
					check(b, s.Commit(batch))
				}
				b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// BenchmarkOpenAndLoad: 100,000 records of 16 + 100 bytes; opening verifies every byte.
func BenchmarkOpenAndLoad(b *testing.B) {
	dir := b.TempDir()
	s, err := persist.Open(persist.Config{Dir: dir})
	check(b, err)
	for batch := range 100 {
		check(b, s.Commit(sampleBatch(batch, 1000)))
	}
	check(b, s.Close())
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := persist.Open(persist.Config{Dir: dir})
			check(b, err)
			b.StopTimer()
			check(b, s.Close())
			b.StartTimer()
		}
	})
	b.Run("load", func(b *testing.B) {
		s := openStore(b, persist.Config{Dir: dir})
		for b.Loop() {
			if n := count(b, s); n != 100_000 {
				b.Fatalf("%d records", n)
			}
		}
	})
}

// BenchmarkDurableWriters is what 64 clients see that each wait for the disk: the fabric's group commit on the store.
func BenchmarkDurableWriters(b *testing.B) {
	for _, profile := range []persist.Profile{persist.ProfileDevice, persist.ProfileServer} {
		b.Run(string(profile), func(b *testing.B) {
			store, err := persist.Open(persist.Config{Dir: filepath.Join(b.TempDir(), "store"), Profile: profile})
			check(b, err)
			f, err := fabric.Open(b.Context(), fabric.Config{Name: "bench", Storage: store})
			check(b, err)
			defer func() { check(b, f.Close()) }()
			r, err := f.CreateRegion(b.Context(), "safe", fabric.RegionConfig{Ack: fabric.AckDisk})
			check(b, err)
			const writers = 64
			var next atomic.Int64
			var done sync.WaitGroup
			b.ResetTimer()
			for range writers {
				done.Go(func() {
					value := make([]byte, 100)
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if err := r.Update(b.Context(), func(tx *crdt.Tx) error { tx.Set(fmt.Sprintf("key:%012d", i*7919%100_000), value, false); return nil }); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			done.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			st, err := store.Stats()
			check(b, err)
			b.ReportMetric(float64(b.N)/float64(st.Commits), "writes/commit")
			b.ReportMetric(float64(st.Commits)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// BenchmarkRestart is what a node does between its start and its first read: open, with every byte verified, and load a million entries of 16 + 100
// bytes into the replica.
func BenchmarkRestart(b *testing.B) {
	const entries = 1_000_000
	dir := filepath.Join(b.TempDir(), "store")
	open := func() (*persist.Store, *fabric.Fabric, time.Duration) {
		began := time.Now()
		store, err := persist.Open(persist.Config{Dir: dir, Profile: persist.ProfileServer})
		check(b, err)
		opened := time.Since(began)
		f, err := fabric.Open(b.Context(), fabric.Config{Name: "bench", Storage: store})
		check(b, err)
		return store, f, opened
	}
	_, f, _ := open()
	r, err := f.Region("default")
	check(b, err)
	value := make([]byte, 100)
	for i := range entries / 1000 {
		_, err := r.Apply(func(tx *crdt.Tx) error {
			for j := range 1000 {
				tx.Set(fmt.Sprintf("key:%012d", i*1000+j), value, false)
			}
			return nil
		})
		check(b, err)
	}
	check(b, f.Close())
	var opening time.Duration
	for b.Loop() {
		_, f, opened := open()
		b.StopTimer()
		opening += opened
		check(b, f.Close())
		b.StartTimer()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s")
	b.ReportMetric(opening.Seconds()/float64(b.N), "s-opening")
}
