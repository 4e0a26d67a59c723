package fabric

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
	"github.com/edgemem/edgemem/tiers/pressure"
)

const testQuota = 100 << 10

// create makes a region with a configuration.
func create(t *testing.T, f *Fabric, name string, rc RegionConfig) *Region {
	t.Helper()
	r, err := f.CreateRegion(t.Context(), name, rc)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fillRegion writes values of 1,000 bytes until one is refused, and gives the error and how many were taken.
func fillRegion(t *testing.T, r *Region, most int) (n int, err error) {
	t.Helper()
	for ; n < most; n++ {
		if err = RegisterOf[string](r, fmt.Sprint("k", n)).Set(t.Context(), strings.Repeat("v", 1000)); err != nil {
			break
		}
	}
	return n, err
}

// TestQuota: a quota refuses local writes on every node, other regions', removes and merges not, and room lets writes in again.
func TestQuota(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra := create(t, a, "tenant", RegionConfig{Quota: testQuota})
		time.Sleep(time.Second)
		rb := region(t, b, "tenant")
		if rb.Quota() != testQuota {
			t.Fatalf("b has a quota of %d", rb.Quota())
		}
		n, err := fillRegion(t, ra, 1000)
		if !errors.Is(err, ErrQuota) || !strings.Contains(err.Error(), `region "tenant" holds`) || n < 60 || n > 100 {
			t.Fatalf("%d writes were taken, then %v", n, err)
		}
		set(t, region(t, a, "default"), "k", "v")
		// b has not everything yet: both fill up what their quota leaves, and have it all after the merge.
		a2 := create(t, a, "apart", RegionConfig{Quota: testQuota})
		m.Cut("a", "b")
		b2 := create(t, b, "apart", RegionConfig{Quota: testQuota})
		fillRegion(t, a2, 1000)
		for i := range 60 {
			set(t, b2, fmt.Sprint("other", i), strings.Repeat("w", 1000))
		}
		m.Heal("a", "b")
		time.Sleep(10 * time.Minute)
		sameState(t, a2, b2)
		if a2.held.Load() < testQuota*3/2 {
			t.Errorf("after the merge a holds %d bytes", a2.held.Load())
		}
		if _, err := fillRegion(t, b2, 1); !errors.Is(err, ErrQuota) {
			t.Errorf("a write beyond the quota: %v", err)
		}
		if _, err := RegisterOf[string](a2, "k0").Delete(t.Context()); err != nil {
			t.Errorf("a remove beyond the quota: %v", err)
		}
		create(t, a, "apart", RegionConfig{Quota: Unlimited})
		time.Sleep(time.Second)
		set(t, b2, "more", "v")
		for i := range n {
			if _, err := RegisterOf[string](ra, fmt.Sprint("k", i)).Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		set(t, ra, "again", "v")
	})
}

// TestTermsMerge: what two nodes say of different fields is both kept; of one field all have the later.
func TestTermsMerge(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		create(t, a, "r", RegionConfig{Ack: AckDisk, Consistency: Causal})
		time.Sleep(time.Second)
		m.Cut("a", "b")
		create(t, a, "r", RegionConfig{Quota: 5000, Priority: BestEffort})
		create(t, b, "r", RegionConfig{Reserve: 7000})
		time.Sleep(time.Second)
		create(t, b, "r", RegionConfig{Priority: Guaranteed})
		m.Heal("a", "b")
		time.Sleep(10 * time.Minute)
		for _, f := range []*Fabric{a, b} {
			r := region(t, f, "r")
			if r.Quota() != 5000 || r.Reservation() != 7000 || r.Priority() != Guaranteed || r.Ack() != AckDisk || r.Consistency() != Causal {
				t.Errorf("%s: %+v, %s, %s", f.Node(), r.terms(), r.Ack(), r.Consistency())
			}
			r.mu.RLock()
			s := r.share()
			r.mu.RUnlock()
			if want := (pressure.Claim{Class: pressure.Guaranteed, Quota: 5000, Reservation: 5000}); s != want {
				t.Errorf("%s: share %+v, want %+v", f.Node(), s, want)
			}
		}
	})
}

// TestBadTerms: what cannot be is refused with the reason, and changes nothing.
func TestBadTerms(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := nodeWith(t, NewMesh(1), "a", Config{MemoryBudget: 1000, MemoryReserve: 200})
		create(t, f, "has", RegionConfig{Reserve: 500, Quota: 600})
		for _, c := range []struct {
			name string
			rc   RegionConfig
			why  string
		}{
			{"new", RegionConfig{Reserve: 301}, "does not fit: this node has 800 for writers, of which 500 are reserved"},
			{"has", RegionConfig{Reserve: 601}, "a reservation of 601 bytes is beyond the quota of 600"},
			{"has", RegionConfig{Quota: 499}, "a reservation of 500 bytes is beyond the quota of 499"},
			{"new", RegionConfig{Quota: -2}, "want more than 0"},
			{"new", RegionConfig{Reserve: -2}, "want more than 0"},
			{"new", RegionConfig{Priority: "high"}, `priority "high": want guaranteed, burstable or best-effort`},
		} {
			if _, err := f.CreateRegion(t.Context(), c.name, c.rc); !errors.Is(err, ErrBadTerms) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%+v: %v", c.rc, err)
			}
		}
		if _, err := f.RegionStatus("new"); !errors.Is(err, ErrNoRegion) {
			t.Errorf("a refused region: %v", err)
		}
		create(t, f, "new", RegionConfig{Reserve: 300})
		create(t, f, "has", RegionConfig{Reserve: Unlimited})
		create(t, f, "new", RegionConfig{Reserve: 800})
	})
}

// refusedAt fills a region and gives what all regions held when it was refused.
func refusedAt(t *testing.T, f *Fabric, r *Region) int64 {
	t.Helper()
	n, err := fillRegion(t, r, 5000)
	if !errors.Is(err, ErrMemoryFull) {
		t.Fatalf("%s: %d writes, then %v", r.Name(), n, err)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("region %q", r.Name())) {
		t.Errorf("the error does not tell the region: %v", err)
	}
	return f.Memory().Used
}

// TestPriorities: each priority has its line, the best one that of the budget, and headroom is kept for what there is.
func TestPriorities(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const writers = testBudget * 3 / 4
		f := nodeWith(t, NewMesh(1), "a", Config{MemoryBudget: testBudget, MemoryReserve: testBudget / 4})
		low := create(t, f, "low", RegionConfig{Priority: BestEffort})
		usual := create(t, f, "usual", RegionConfig{})
		near := func(name string, used int64, percent int64) {
			t.Helper()
			if line := int64(writers) * percent / 100; used < line || used > line+4096 {
				t.Errorf("%s is refused at %d bytes, %.1f %% of what writers have; want %d %%", name, used, float64(used)/writers*100, percent)
			}
		}
		near("best-effort, beside burstable", refusedAt(t, f, low), 95)
		high := create(t, f, "high", RegionConfig{Priority: Guaranteed})
		if err := low.Shrink(t.Context(), func(tx *crdt.Tx) error { tx.Flush(); return nil }); err != nil {
			t.Fatal(err)
		}
		near("best-effort, beside guaranteed", refusedAt(t, f, low), 90)
		near("burstable, beside guaranteed", refusedAt(t, f, usual), 95)
		time.Sleep(2 * time.Second)
		s := f.Memory()
		if len(s.Lines) != 3 || !s.Lines[0].Refuses || !s.Lines[1].Refuses || s.Lines[2].Refuses || s.Level == "refuse" {
			t.Errorf("memory %+v", s)
		}
		if kinds(f) != "" {
			t.Errorf("alarms %q while a guaranteed region may write", kinds(f))
		}
		near("guaranteed", refusedAt(t, f, high), 100)
		if m := status(t, f, "low").Memory; m.Refused == 0 || !strings.Contains(m.Refuses, "the most for best-effort regions") {
			t.Errorf("status of best-effort: %+v", m)
		}
	})
}

func status(t *testing.T, f *Fabric, name string) RegionStatus {
	t.Helper()
	s, err := f.RegionStatus(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSlowedByPriority: who is refused first waits first.
func TestSlowedByPriority(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := nodeWith(t, NewMesh(1), "a", Config{MemoryBudget: testBudget, MemoryReserve: testBudget / 4})
		low, high := create(t, f, "low", RegionConfig{Priority: BestEffort}), create(t, f, "high", RegionConfig{Priority: Guaranteed})
		for n := 0; f.Memory().Used < testBudget*3/4*88/100; n++ {
			set(t, high, fmt.Sprint("k", n), strings.Repeat("v", 1000))
		}
		time.Sleep(2 * time.Second)
		took := func(r *Region) time.Duration {
			began := time.Now()
			set(t, r, "x", "v")
			return time.Since(began)
		}
		if l, h := took(low), took(high); l < time.Millisecond || h != 0 {
			t.Errorf("a best-effort write waits %v, a guaranteed one %v", l, h)
		}
	})
}

// TestReservation: what is reserved and not used is refused to others, given to its region whatever the others hold, and free
// again when it is given up; a node says what it cannot reserve.
func TestReservation(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const writers, reserve = testBudget * 3 / 4, 300 << 10
		m := NewMesh(1)
		f := nodeWith(t, m, "a", Config{MemoryBudget: testBudget, MemoryReserve: testBudget / 4})
		tiny := nodeWith(t, m, "tiny", Config{MemoryBudget: 200 << 10, MemoryReserve: 50 << 10})
		mine := create(t, f, "mine", RegionConfig{Reserve: reserve})
		other := region(t, f, "other")
		time.Sleep(2 * time.Second)
		if used := refusedAt(t, f, other); used < writers-reserve || used > writers-reserve+4096 {
			t.Errorf("the other region is refused at %d bytes of %d with %d reserved", used, writers, reserve)
		}
		s := f.Memory()
		if s.Reserved != reserve || s.Unused != reserve-mine.held.Load() {
			t.Errorf("memory %+v", s)
		}
		time.Sleep(2 * time.Second) // the level of others is refuse now
		n, err := fillRegion(t, mine, 5000)
		if held := mine.held.Load(); !errors.Is(err, ErrMemoryFull) || held < reserve || held > reserve+4096 {
			t.Errorf("the region took %d writes and %d bytes, then %v", n, held, err)
		}
		if used := f.Memory().Used; used > writers+8192 {
			t.Errorf("%d bytes are used of %d", used, writers)
		}
		if all := kinds(f); !strings.Contains(all, AlarmReservation+"@tiny") || strings.Contains(all, AlarmReservation+"@a") {
			t.Errorf("alarms %q", all)
		}
		if s := tiny.Memory(); s.Reserved != 150<<10 || s.Lacking != reserve-150<<10 {
			t.Errorf("the tiny node: %+v", s)
		}
		if s := tiny.Memory(); !s.Held {
			t.Errorf("the tiny node merges on: %+v", s)
		}
		create(t, f, "mine", RegionConfig{Reserve: 100 << 10}) // it hears of that all the same
		time.Sleep(10 * time.Second)
		if s := tiny.Memory(); s.Lacking != 0 || strings.Contains(kinds(f), AlarmReservation) {
			t.Errorf("the tiny node: %+v, alarms %q", s, kinds(f))
		}
	})
}

// TestReservationNeverHoldsMerges: memory that is reserved and free is there for merges.
func TestReservationNeverHoldsMerges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		f := nodeWith(t, m, "a", Config{MemoryBudget: testBudget, MemoryReserve: testBudget / 4})
		b := node(t, m, "b")
		rf, rb := region(t, f, "default"), region(t, b, "default")
		fillUp(t, rf, strings.Repeat("v", 1000))
		if err := rf.Shrink(t.Context(), func(tx *crdt.Tx) error { tx.Flush(); return nil }); err != nil {
			t.Fatal(err)
		}
		create(t, f, "mine", RegionConfig{Reserve: testBudget * 3 / 4})
		for i := range 600 {
			set(t, rb, fmt.Sprint("b", i), strings.Repeat("w", 1000))
		}
		time.Sleep(time.Minute)
		sameState(t, rf, rb)
		if s := f.Memory(); s.Held || !s.Lines[1].Refuses {
			t.Errorf("memory %+v", s)
		}
	})
}

// TestQuotaAlarm: a region that is at its quota is told, everywhere, until there is room.
func TestQuotaAlarm(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), nodeWith(t, m, "b", Config{})
		r := create(t, a, "tenant", RegionConfig{Quota: testQuota})
		n, _ := fillRegion(t, r, 1000)
		time.Sleep(5 * time.Second)
		if all := kinds(b); !strings.Contains(all, AlarmQuota+"@a") {
			t.Errorf("alarms %q", all)
		}
		if s := a.Memory(); s.QuotaFull != 1 {
			t.Errorf("memory %+v", s)
		}
		if s := status(t, a, "tenant").Memory; !s.Full || s.Quota != testQuota || s.Held < testQuota || s.Refused == 0 {
			t.Errorf("status %+v", s)
		}
		for i := range n / 5 {
			if _, err := RegisterOf[string](r, fmt.Sprint("k", i)).Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if all := kinds(b); all != "" {
			t.Errorf("alarms %q", all)
		}
	})
}

// TestTermsSurviveARestart: they are on disk with the catalogue.
func TestTermsSurviveARestart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		open := func() *Fabric {
			s, err := d.Open()
			if err != nil {
				t.Fatal(err)
			}
			f, err := Open(t.Context(), Config{Name: "a", Storage: s, MemoryBudget: testBudget, MemoryReserve: testBudget / 4})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		f := open()
		create(t, f, "r", RegionConfig{Quota: 5000, Reserve: 4000, Priority: Guaranteed})
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = open()
		defer f.Close()
		if r := region(t, f, "r"); r.terms() != (terms{5000, 4000, pressure.Guaranteed}) || r.granted.Load() != 4000 || f.Memory().Reserved != 4000 {
			t.Errorf("after a restart %+v, %+v", r.terms(), f.Memory())
		}
	})
}

// TestOddTermsInTheCatalogue: what a newer version or a peer may write there is never worse than nothing.
func TestOddTermsInTheCatalogue(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := node(t, NewMesh(1), "a")
		for i, odd := range []string{"", "-5", "1e9", "99999999999999999999", "ten", "\x00\xff"} {
			name := fmt.Sprint("r", i)
			err := f.catalogue.Update(t.Context(), func(tx *crdt.Tx) error {
				for _, field := range []string{"ack", fieldQuota, fieldReserve, fieldPriority} {
					if _, err := tx.MapSet(name, field, []byte(odd)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if r := region(t, f, name); r.terms() != usualTerms {
				t.Errorf("%q: %+v", odd, r.terms())
			}
		}
	})
}
