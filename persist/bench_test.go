package persist_test

import (
	"fmt"
	"testing"

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
