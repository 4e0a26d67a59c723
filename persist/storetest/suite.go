package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

// Run checks the stores of fresh places.
func Run(t *testing.T, fresh func(t *testing.T) Place) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, h *harness)
	}{
		{"empty", testEmpty},
		{"order", testOrder},
		{"overwrite and delete", testOverwrite},
		{"last record of a key counts", testDuplicate},
		{"nil and empty values", testEmptyValue},
		{"odd keys", testOddKeys},
		{"long keys", testLongKeys},
		{"values of all sizes", testValueSizes},
		{"largest batches", testLargest},
		{"caller keeps its slices", testOwnership},
		{"error of the callback", testCallbackError},
		{"reopen", testReopen},
		{"crash", testCrash},
		{"random against a map", testRandom},
		{"concurrent commits", testConcurrent},
		{"incarnations", testIncarnations},
		{"foreign node", testForeign},
		{"opened twice", testTwice},
		{"close", testClose},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := &harness{t: t, place: fresh(t)}
			h.open()
			t.Cleanup(func() { h.Close() })
			test.run(t, h)
		})
	}
}

// harness is an open store of a place.
type harness struct {
	Store
	t     *testing.T
	place Place
}

func (h *harness) open() {
	h.t.Helper()
	s, err := h.place.Open()
	if err != nil {
		h.t.Fatalf("open: %v", err)
	}
	h.Store = s
}

func (h *harness) reopen() {
	h.t.Helper()
	if err := h.Close(); err != nil {
		h.t.Fatalf("close: %v", err)
	}
	h.open()
}

func (h *harness) crash() {
	h.t.Helper()
	if err := h.place.Crash(); err != nil {
		h.t.Fatalf("crash: %v", err)
	}
	h.open()
}

func (h *harness) commit(recs ...crdt.Record) {
	h.t.Helper()
	if err := h.Commit(recs); err != nil {
		h.t.Fatalf("commit of %d records: %v", len(recs), err)
	}
}

func (h *harness) load() []crdt.Record {
	h.t.Helper()
	var got []crdt.Record
	err := h.Load(func(key, value []byte) error {
		got = append(got, crdt.Record{Key: bytes.Clone(key), Value: append([]byte{}, value...)})
		return nil
	})
	if err != nil {
		h.t.Fatalf("load: %v", err)
	}
	return got
}

// want compares everything in the store, order included.
func (h *harness) want(want ...crdt.Record) {
	h.t.Helper()
	got := h.load()
	for i := range min(len(got), len(want)) {
		if !bytes.Equal(got[i].Key, want[i].Key) || !bytes.Equal(got[i].Value, want[i].Value) {
			h.t.Fatalf("record %d: got %s, want %s", i, show(got[i]), show(want[i]))
		}
	}
	if len(got) != len(want) {
		h.t.Fatalf("got %d records, want %d", len(got), len(want))
	}
}

func show(r crdt.Record) string {
	return fmt.Sprintf("%.40q (%d bytes) = %.40q (%d bytes)", r.Key, len(r.Key), r.Value, len(r.Value))
}

func rec(key, value string) crdt.Record {
	return crdt.Record{Key: []byte(key), Value: []byte(value)}
}

func del(key string) crdt.Record { return crdt.Record{Key: []byte(key)} }

func testEmpty(t *testing.T, h *harness) {
	h.want()
	h.commit()
	h.commit(del("never there"))
	h.want()
	h.reopen()
	h.want()
}

func testOrder(t *testing.T, h *harness) {
	h.commit(rec("b", "2"), rec("a\x00", "1"), rec("c", "3"), rec("a", "0"))
	h.commit(rec("\xff\xff", "9"), rec("b\x00", "2.5"))
	h.want(rec("a", "0"), rec("a\x00", "1"), rec("b", "2"), rec("b\x00", "2.5"), rec("c", "3"), rec("\xff\xff", "9"))
}

func testOverwrite(t *testing.T, h *harness) {
	h.commit(rec("a", "1"), rec("b", "1"), rec("c", "1"))
	h.commit(rec("b", "2"), del("a"))
	h.want(rec("b", "2"), rec("c", "1"))
	h.commit(rec("a", "3"), del("c"))
	h.reopen()
	h.want(rec("a", "3"), rec("b", "2"))
}

func testDuplicate(t *testing.T, h *harness) {
	h.commit(rec("a", "1"), rec("b", "1"), rec("a", "2"), del("b"), del("c"), rec("c", "3"))
	h.want(rec("a", "2"), rec("c", "3"))
}

func testEmptyValue(t *testing.T, h *harness) {
	h.commit(crdt.Record{Key: []byte("empty"), Value: []byte{}}, crdt.Record{Key: []byte("nil")})
	h.want(rec("empty", ""))
	h.reopen()
	h.want(rec("empty", ""))
}

func testOddKeys(t *testing.T, h *harness) {
	keys := []string{"", "\x00", "\x00id", "!badger!", "!badger!txn", "!badger!txnx", "\x01", "\xff"}
	var recs []crdt.Record
	for i, k := range keys {
		recs = append(recs, rec(k, fmt.Sprint(i)))
	}
	h.commit(recs...)
	h.reopen()
	slices.SortFunc(recs, byKey)
	h.want(recs...)
}

func byKey(a, b crdt.Record) int { return bytes.Compare(a.Key, b.Key) }

// testLongKeys: keys beyond what most engines take, and many that differ only at their end.
func testLongKeys(t *testing.T, h *harness) {
	base := bytes.Repeat([]byte("k"), 200<<10)
	var recs []crdt.Record
	for _, n := range []int{1 << 10, 32<<10 - 1, 32 << 10, 32<<10 + 1, 65000, 65535, 65536, 128<<10 + 40, 200 << 10} {
		recs = append(recs, crdt.Record{Key: base[:n], Value: fmt.Appendf(nil, "length %d", n)})
	}
	for _, end := range []string{"z", "a", "m", "\x00", "\xff"} {
		recs = append(recs, crdt.Record{Key: append(bytes.Clone(base[:100<<10]), end...), Value: []byte(end)})
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(recs), func(i, j int) { recs[i], recs[j] = recs[j], recs[i] })
	h.commit(recs...)
	h.reopen()
	slices.SortFunc(recs, byKey)
	h.want(recs...)
	h.commit(crdt.Record{Key: recs[len(recs)-1].Key})
	h.want(recs[:len(recs)-1]...)
}

func testValueSizes(t *testing.T, h *harness) {
	random := rand.New(rand.NewPCG(3, 4))
	var recs []crdt.Record
	for i, n := range []int{0, 1, 100, 4<<10 - 6, 4 << 10, 4<<10 + 1, 64 << 10, 1 << 20, 2 << 20} {
		recs = append(recs, crdt.Record{Key: fmt.Appendf(nil, "%02d", i), Value: noise(random, n)})
	}
	for _, r := range recs {
		h.commit(r)
	}
	h.want(recs...)
	h.reopen()
	h.want(recs...)
}

func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, random.Uint64())
	}
	return b[:n]
}

// testLargest commits batches far beyond a transaction, in three shapes.
func testLargest(t *testing.T, h *harness) {
	const key, size = 16, 6 << 20
	for _, shape := range []struct {
		name    string
		records int
	}{{"values of 1 MiB", 6}, {"records of 1 KiB", 6 << 10}, {"many records", 40_000}} {
		t.Run(shape.name, func(t *testing.T) {
			recs := make([]crdt.Record, shape.records)
			random := rand.New(rand.NewPCG(5, 6))
			for i := range recs {
				recs[i] = crdt.Record{Key: fmt.Appendf(nil, "%0*d", key, i), Value: noise(random, size/shape.records-key)}
			}
			h.commit(recs...)
			h.want(recs...)
			h.crash()
			h.want(recs...)
			removal := make([]crdt.Record, len(recs))
			for i := range recs {
				removal[i].Key = recs[i].Key
			}
			h.commit(removal...)
			h.want()
		})
	}
}

func testOwnership(t *testing.T, h *harness) {
	r := rec("key", "value")
	h.commit(r)
	copy(r.Key, "xxx")
	copy(r.Value, "xxxxx")
	h.want(rec("key", "value"))
}

func testCallbackError(t *testing.T, h *harness) {
	h.commit(rec("a", "1"), rec("b", "2"))
	stop, calls := errors.New("stop"), 0
	err := h.Load(func(_, _ []byte) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Errorf("load: %v after %d calls, want %v after 1", err, calls, stop)
	}
	h.want(rec("a", "1"), rec("b", "2"))
}

func testReopen(t *testing.T, h *harness) {
	var want []crdt.Record
	for i := range 5 {
		r := rec(fmt.Sprint(i), fmt.Sprint(i*i))
		h.commit(r)
		want = append(want, r)
		h.reopen()
		h.want(want...)
	}
}

func testCrash(t *testing.T, h *harness) {
	var want []crdt.Record
	for i := range 4 {
		r := rec(fmt.Sprint(i), fmt.Sprint(i*i))
		h.commit(r)
		want = append(want, r)
		h.crash()
		h.want(want...)
	}
	h.commit(del("0"))
	h.crash()
	h.want(want[1:]...)
}

// testRandom compares with a map over commits, reopenings and crashes.
func testRandom(t *testing.T, h *harness) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	model := map[string][]byte{}
	for step := range 60 {
		batch := make([]crdt.Record, random.IntN(40))
		for i := range batch {
			batch[i].Key = fmt.Appendf(nil, "key %d", random.IntN(100))
			if random.IntN(3) > 0 {
				batch[i].Value = noise(random, random.IntN(1<<random.IntN(15)))
			}
		}
		h.commit(batch...)
		for _, r := range batch {
			model[string(r.Key)] = r.Value
		}
		switch random.IntN(12) {
		case 0:
			h.reopen()
		case 1:
			h.crash()
		}
		if step%10 == 9 {
			t.Logf("seed %d, step %d", seed, step)
			h.want(sorted(model)...)
		}
	}
}

func sorted(model map[string][]byte) []crdt.Record {
	var recs []crdt.Record
	for k, v := range model {
		if v != nil {
			recs = append(recs, crdt.Record{Key: []byte(k), Value: v})
		}
	}
	slices.SortFunc(recs, byKey)
	return recs
}

func testConcurrent(t *testing.T, h *harness) {
	const writers, batches = 8, 6
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for b := range batches {
				if err := h.Commit([]crdt.Record{rec(fmt.Sprintf("%d/%d", w, b), "x"), rec(fmt.Sprintf("last %d", w), fmt.Sprint(b))}); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	all.Wait()
	h.crash()
	if n := len(h.load()); n != writers*batches+writers {
		t.Errorf("%d records, want %d", n, writers*batches+writers)
	}
}

func testIncarnations(t *testing.T, h *harness) {
	seen := map[crdt.Nonce]bool{{}: true}
	last := uint32(crdt.FirstNumber - 1)
	for i := range 6 {
		nonce, err := h.NewIncarnation(t.Context(), "node", 0)
		if err != nil {
			t.Fatal(err)
		}
		if seen[nonce] {
			t.Fatalf("incarnation %d: nonce %x is zero or was used before", i, nonce)
		}
		if seen[nonce] = true; nonce.Number() <= last {
			t.Fatalf("incarnation %d: number %d after %d", i, nonce.Number(), last)
		}
		last = nonce.Number()
		if i%2 == 0 {
			h.crash()
		} else {
			h.reopen()
		}
	}
	h.want()
	if nonce, err := h.NewIncarnation(t.Context(), "node", last+1000); err != nil || nonce.Number() < last+1000 {
		t.Errorf("number %d, %v, want %d at least", nonce.Number(), err, last+1000)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.NewIncarnation(ended, "node", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, want context.Canceled", err)
	}
}

func testForeign(t *testing.T, h *harness) {
	if _, err := h.NewIncarnation(t.Context(), "mine", 0); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	if _, err := h.NewIncarnation(t.Context(), "yours", 0); !errors.Is(err, persist.ErrForeign) {
		t.Errorf("another node: %v, want ErrForeign", err)
	}
	if _, err := h.NewIncarnation(t.Context(), "mine", 0); err != nil {
		t.Errorf("the owner, later: %v", err)
	}
}

func testTwice(t *testing.T, h *harness) {
	if s, err := h.place.Open(); !errors.Is(err, persist.ErrLocked) {
		t.Errorf("second open: %v, %v, want ErrLocked", s, err)
	}
	h.commit(rec("a", "1"))
	h.want(rec("a", "1"))
}

func testClose(t *testing.T, h *harness) {
	h.commit(rec("a", "1"))
	for range 2 {
		if err := h.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	if err := h.Commit([]crdt.Record{rec("b", "2")}); !errors.Is(err, persist.ErrClosed) {
		t.Errorf("commit after close: %v, want ErrClosed", err)
	}
	if err := h.Load(func(_, _ []byte) error { return nil }); !errors.Is(err, persist.ErrClosed) {
		t.Errorf("load after close: %v, want ErrClosed", err)
	}
	if _, err := h.NewIncarnation(t.Context(), "node", 0); !errors.Is(err, persist.ErrClosed) {
		t.Errorf("incarnation after close: %v, want ErrClosed", err)
	}
	h.open()
	h.want(rec("a", "1"))
}
