package crdt

import (
	"encoding/binary"
	"fmt"
	"testing"
)

const (
	benchValue = 100
	benchKeys  = 1_000_000
)

func benchKey(i int) string { return fmt.Sprintf("key:%012d", i) }

// filled is a region of n entries of benchValue bytes.
func filled(n int, push bool) *Region {
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), Push: push})
	for at := 0; at < n; at += 1000 {
		_ = r.Update(testNow, func(tx *Tx) error {
			for i := at; i < min(at+1000, n); i++ {
				tx.Set(benchKey(i), make([]byte, benchValue), false)
			}
			return nil
		})
		r.TakeDirty()
	}
	return r
}

func BenchmarkSetNew(b *testing.B) {
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), Push: true})
	keys := make([]string, b.N)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	val := make([]byte, benchValue)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		_ = r.Update(testNow, func(tx *Tx) error { tx.Set(keys[i], val, false); return nil })
		if i%512 == 511 {
			r.TakePush()
			r.TakeDirty()
		}
	}
}

func BenchmarkSetOverwrite(b *testing.B) {
	const n = 1 << 17
	r := filled(n, true)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	val := make([]byte, benchValue)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		_ = r.Update(testNow, func(tx *Tx) error { tx.Set(keys[i*7919%n], val, false); return nil })
		if i%512 == 511 {
			r.TakePush()
			r.TakeDirty()
		}
	}
}

func BenchmarkSetHot(b *testing.B) {
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), Push: true})
	val := make([]byte, benchValue)
	b.ReportAllocs()
	for i := range b.N {
		_ = r.Update(testNow, func(tx *Tx) error { tx.Set("hot", val, false); return nil })
		if i%512 == 511 {
			r.TakePush()
			r.TakeDirty()
		}
	}
}

func BenchmarkIncr(b *testing.B) {
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), Push: true})
	b.ReportAllocs()
	for i := range b.N {
		_ = r.Update(testNow, func(tx *Tx) error { _, err := tx.Incr("n", 1); return err })
		if i%512 == 511 {
			r.TakePush()
			r.TakeDirty()
		}
	}
}

func BenchmarkGet1M(b *testing.B) {
	r := filled(benchKeys, false)
	keys := make([]string, 1<<16)
	for i := range keys {
		keys[i] = benchKey(i * 7919 % benchKeys)
	}
	b.ReportAllocs()
	b.ResetTimer()
	v := r.View(testNow)
	for i := range b.N {
		if _, ok, _ := v.Get(keys[i&(1<<16-1)]); !ok {
			b.Fatal("absent")
		}
	}
}

// BenchmarkPush encodes and applies 400 writes of benchValue bytes in one message.
func BenchmarkPush(b *testing.B) {
	const writes = 400
	a := filled(writes, true)
	a.TakePush()
	to := newTestRegion(2)
	pullAll(b, to, a, 1<<20)
	keys := make([]string, writes)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	val := make([]byte, benchValue)
	var msgs [][]byte
	fill := func() {
		_ = a.Update(testNow, func(tx *Tx) error {
			for _, k := range keys {
				tx.Set(k, val, false)
			}
			return nil
		})
	}
	for _, part := range []string{"encode", "apply"} {
		b.Run(part, func(b *testing.B) {
			bytes := 0
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				if part == "apply" {
					pullAll(b, to, a, 1<<20)
				}
				fill()
				b.StartTimer()
				if part == "encode" {
					msgs = a.TakePush()
				}
				b.StopTimer()
				if part == "apply" {
					msgs = a.TakePush()
				}
				bytes = 0
				for _, m := range msgs {
					bytes += len(m)
				}
				if part == "apply" {
					b.StartTimer()
					for _, m := range msgs {
						if gap, err := to.Push(m, testNow); gap || err != nil {
							b.Fatal(gap, err)
						}
					}
				}
				a.TakeDirty()
				to.TakeDirty()
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*writes), "ns/write")
			b.ReportMetric(float64(bytes)/writes-benchValue-16, "overhead-B/write")
		})
	}
}

// pullBytes is pullAll that counts.
func pullBytes(b *testing.B, to, from *Region, max int) (bytes, chunks int) {
	b.Helper()
	rc := to.NewReceiver()
	hello := to.Hello()
	peer, err := DecodeHello(hello)
	if err != nil {
		b.Fatal(err)
	}
	p := from.NewPull(peer)
	bytes = len(hello)
	for msg := p.Next(max); msg != nil; msg = p.Next(max) {
		if err := rc.Merge(msg, testNow); err != nil {
			b.Fatal(err)
		}
		bytes += len(msg)
		chunks++
	}
	return bytes, chunks
}

// BenchmarkPullEmpty brings an empty replica 50,000 entries of 100 bytes.
func BenchmarkPullEmpty(b *testing.B) {
	const n = 50_000
	from := filled(n, false)
	bytes := 0
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		to := NewRegion(Config{Name: "t", Self: testOrigin(2)})
		bytes, _ = pullBytes(b, to, from, 256<<10)
		if to.Entries() != n {
			b.Fatal(to.Entries())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/entry")
	b.ReportMetric(float64(bytes)/float64(n*(benchValue+len(benchKey(0)))), "bytes/payload")
}

// BenchmarkPullFew brings 100 changed entries of a million.
func BenchmarkPullFew(b *testing.B) {
	from := filled(benchKeys, false)
	to := NewRegion(Config{Name: "t", Self: testOrigin(2)})
	pullBytes(b, to, from, 1<<20)
	bytes, chunks := 0, 0
	b.ResetTimer()
	for i := range b.N {
		b.StopTimer()
		_ = from.Update(testNow, func(tx *Tx) error {
			for k := range 100 {
				val := make([]byte, benchValue)
				binary.BigEndian.PutUint64(val, uint64(i))
				tx.Set(benchKey((i*100+k)*7919%benchKeys), val, false)
			}
			return nil
		})
		from.TakeDirty()
		to.TakeDirty()
		b.StartTimer()
		bytes, chunks = pullBytes(b, to, from, 256<<10)
	}
	b.ReportMetric(float64(bytes)/float64(100*(benchValue+len(benchKey(0)))), "bytes/payload")
	b.ReportMetric(float64(bytes), "bytes")
	b.ReportMetric(float64(chunks), "chunks")
}

func BenchmarkTakeDirty(b *testing.B) {
	const n = 1000
	r := filled(n, false)
	val := make([]byte, benchValue)
	b.ReportAllocs()
	for range b.N {
		b.StopTimer()
		_ = r.Update(testNow, func(tx *Tx) error {
			for i := range n {
				tx.Set(benchKey(i), val, false)
			}
			return nil
		})
		b.StartTimer()
		r.TakeDirty()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/cell")
}
