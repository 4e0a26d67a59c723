package resp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgemem/edgemem/fabric"
	storage "github.com/edgemem/edgemem/persist"
)

// blindStore is a store that cannot be read when it is told so.
type blindStore struct {
	*storage.Store
	blind atomic.Bool
}

func (s *blindStore) Value(key []byte) ([]byte, error) {
	if s.blind.Load() {
		return nil, &storage.DamageError{Path: "here", Key: key, Detail: "rust"}
	}
	return s.Store.Value(key)
}

// TestValuesOnDisk: commands of every kind see values that left memory, in pipelines too; one that cannot be read is a clear error,
// and the others of its pipeline are answered.
func TestValuesOnDisk(t *testing.T) {
	t.Parallel()
	d := &blindStore{}
	var f *fabric.Fabric
	_, addr := start(t, func(c *Config) {
		var err error
		if d.Store, err = storage.Open(storage.Config{Dir: t.TempDir()}); err == nil {
			f, err = fabric.Open(t.Context(), fabric.Config{Name: "test", Storage: d, MemoryBudget: 1 << 20, MemoryReserve: 1 << 18, CommitEvery: 10 * time.Millisecond})
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		c.Fabric = f
	})
	p := dial(t, addr)
	const n = 3000
	value := func(i int) string { // noise, which packs to no less
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		b := fmt.Appendf(nil, "%d", 1_000_000+i)
		for len(b) < 900 {
			if c := byte('!' + rng.IntN('~'-'!'+1)); !strings.ContainsRune("\"\\\\'#", rune(c)) {
				b = append(b, c)
			}
		}
		return string(b) + "#END#"
	}
	for i := range n {
		p.want("+OK", "SET", fmt.Sprint("k", i), value(i))
		p.want(":1", "HSET", "h", fmt.Sprint("f", i), value(i))
	}
	if s := f.Eviction(); s.Away < n {
		t.Fatalf("%+v", s)
	}
	var pipe strings.Builder
	for i := range n {
		fmt.Fprintf(&pipe, "GET k%d\r\nSTRLEN k%d\r\nHGET h f%d\r\nEXISTS k%d\r\n", i, i, i, i)
	}
	go p.send(pipe.String())
	for i := range n {
		a, b, c, e := p.read().String(), p.read().String(), p.read().String(), p.read().String()
		if !strings.Contains(a, value(i)) || b != fmt.Sprint(":", len(value(i))) || !strings.Contains(c, value(i)) || e != ":1" {
			t.Fatalf("k%d: %.40s, %s, %.40s, %s", i, a, b, c, e)
		}
	}
	if got := p.do("MGET", "k0", "k1", "none", "k2").String(); strings.Count(got, value(0)[:40])+strings.Count(got, value(1)[:40])+strings.Count(got, value(2)[:40]) < 3 {
		t.Errorf("MGET: %.300s", got)
	}
	if got := p.do("APPEND", "k5", "x").String(); got != fmt.Sprint(":", len(value(5))+1) {
		t.Errorf("APPEND: %s", got)
	}
	if got := p.do("GETDEL", "k6").String(); !strings.Contains(got, value(6)) {
		t.Errorf("GETDEL: %.40s", got)
	}
	if got := p.do("HVALS", "h").String(); strings.Count(got, "#END#") != n {
		t.Errorf("HVALS gives %d values", strings.Count(got, "#END#"))
	}
	info := p.do("INFO", "memory").String()
	for _, want := range []string{"mem_eviction:s3fifo", "mem_values_on_disk:", "value_faults:", "value_hit_ratio:0."} {
		if !strings.Contains(info, want) {
			t.Errorf("INFO memory lacks %s: %s", want, info)
		}
	}

	d.blind.Store(true)
	bad := 0
	for i := 10; i < n; i += 10 {
		p.send(fmt.Sprintf("GET k%d\r\nEXISTS k%d\r\n", i, i))
		a, b := p.read().String(), p.read().String()
		switch {
		case strings.HasPrefix(a, "-MISCONF ") && strings.Contains(a, fmt.Sprintf("k%d", i)) && strings.Contains(a, "rust"):
			bad++
		case !strings.Contains(a, value(i)):
			t.Fatalf("GET k%d: %.200s", i, a)
		}
		if b != ":1" {
			t.Fatalf("EXISTS k%d: %s", i, b)
		}
	}
	if bad == 0 {
		t.Error("all values are in memory")
	}
	for _, cmd := range [][]string{{"HGETALL", "h"}, {"HVALS", "h"}, {"HSCAN", "h", "0", "COUNT", "5000"}} {
		if got := p.do(cmd...).String(); !strings.HasPrefix(got, "-MISCONF ") {
			t.Errorf("%v: %.100s", cmd, got)
		}
	}
	for i := 10; i < n && bad > 0; i += 10 { // what would read, to write, leaves the value alone
		if a := p.do("APPEND", fmt.Sprint("k", i), "y").String(); strings.HasPrefix(a, "-MISCONF ") {
			p.want("+OK", "SET", fmt.Sprint("k", i), "anew")
			p.want(`"anew"`, "GET", fmt.Sprint("k", i))
			break
		}
	}
	if got := p.do("HKEYS", "h").String(); strings.HasPrefix(got, "-") {
		t.Errorf("HKEYS: %.100s", got)
	}
}
