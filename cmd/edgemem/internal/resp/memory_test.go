package resp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/fabric"
)

// TestMemoryBudgetRefusesWrites: beyond the budget what would add is refused as Redis does, what removes is not, in a pipeline
// too, and reads go on.
func TestMemoryBudgetRefusesWrites(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(c *Config) {
		f, err := fabric.Open(t.Context(), fabric.Config{Name: "test", MemoryBudget: 1 << 20, MemoryReserve: 1 << 18})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		c.Fabric = f
	})
	p := dial(t, addr)
	val, n := strings.Repeat("v", 10_000), 0
	for ; ; n++ {
		got := p.do("SET", fmt.Sprint("k", n), val).String()
		if strings.HasPrefix(got, "-OOM fabric: memory budget used up") {
			break
		}
		if got != "+OK" || n > 200 {
			t.Fatalf("SET %d: %.100s", n, got)
		}
	}
	p.want(":10000", "STRLEN", "k0")
	for _, cmd := range [][]string{{"INCR", "i"}, {"SADD", "s", "m"}, {"HSET", "h", "f", "v"}, {"APPEND", "k0", "x"}, {"MSET", "a", "b"}} {
		if got := p.do(cmd...).String(); !strings.HasPrefix(got, "-OOM ") {
			t.Errorf("%v: %.100s", cmd, got)
		}
	}
	if got := p.do("INFO", "memory").String(); !strings.Contains(got, "maxmemory:1048576") {
		t.Errorf("INFO memory: %s", got)
	}
	p.send("DEL k0\r\nSET k0 " + val + "\r\nDEL k1\r\n") // in one write: what adds must not ride along with what removes
	if a, b, c := p.read().String(), p.read().String(), p.read().String(); a != ":1" || !strings.HasPrefix(b, "-OOM ") && b != "+OK" || c != ":1" {
		t.Errorf("DEL, SET, DEL answer %.50s, %.50s, %.50s", a, b, c)
	}
	for i := range n {
		p.do("UNLINK", fmt.Sprint("k", i))
	}
	p.want("+OK", "SET", "again", val)
	p.want(":10000", "STRLEN", "again")
}

// TestQuotaRefusesWrites: a region at its quota is refused with its name and what to do; another one is not, and what removes goes on.
func TestQuotaRefusesWrites(t *testing.T) {
	t.Parallel()
	var f *fabric.Fabric
	_, addr := start(t, func(c *Config) {
		var err error
		if f, err = fabric.Open(t.Context(), fabric.Config{Name: "test"}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		c.Fabric = f
	})
	if _, err := f.CreateRegion(t.Context(), "tenant", fabric.RegionConfig{Quota: 100_000}); err != nil {
		t.Fatal(err)
	}
	p := dial(t, addr)
	p.want("+OK", "SELECT", "tenant")
	val, got := strings.Repeat("v", 10_000), ""
	for n := 0; !strings.HasPrefix(got, "-"); n++ {
		if got = p.do("SET", fmt.Sprint("k", n), val).String(); n > 20 {
			t.Fatalf("SET %d: %.100s", n, got)
		}
	}
	for _, part := range []string{"-OOM ", `region "tenant" holds `, " bytes of 100000", "edgemem region create tenant --quota SIZE"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q does not say %q", got, part)
		}
	}
	p.want(":10000", "STRLEN", "k0")
	p.want("+OK", "SELECT", "0")
	p.want("+OK", "SET", "k", val)
	p.want("+OK", "SELECT", "tenant")
	p.want(":2", "DEL", "k0", "k1")
	p.want("+OK", "SET", "again", val)
}
