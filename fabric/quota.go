package fabric

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// What a region may have of each node's memory is in the catalogue, as its acknowledgement is: every holder has it, concurrent changes
// of different fields are both kept, and of one field the later wins everywhere alike. Each node applies it to what the region
// takes there, by its own account.
//
//	quota        local writes are refused at it (ErrQuota). Merges are not, so that replicas converge: then the region is over
//	             it, which status, metrics and an alarm show, and pressure takes from it first
//	reservation  what of it the region does not use counts as used for everybody else's writes
//	priority     who is slowed down, refused and evicted first: best-effort, then burstable, then guaranteed

// Errors of a region's memory. The text around them names the region and the numbers.
var (
	// ErrQuota refuses a write.
	ErrQuota = errors.New("fabric: quota of the region used up")
	// ErrBadTerms refuses a configuration.
	ErrBadTerms = errors.New("fabric: bad memory terms of a region")
)

// Unlimited takes back a quota or a reservation.
const Unlimited = -1

// Priority says whose writes are refused last, and whose values stay longest, when memory is short.
type Priority string

// The priorities, the first gives way last.
const (
	Guaranteed Priority = "guaranteed"
	Burstable  Priority = "burstable"
	BestEffort Priority = "best-effort"
)

// ParsePriority reads a Priority.
func ParsePriority(s string) (Priority, error) {
	if _, err := pressure.ParseClass(s); err != nil {
		return "", fmt.Errorf("fabric: priority %q: want guaranteed, burstable or best-effort", s)
	}
	return Priority(s), nil
}

// terms are what a region may have of a node's memory.
type terms struct {
	quota, reserve int64 // bytes; 0: none
	class          pressure.Class
}

// usualTerms are those of a region of which the catalogue says nothing.
var usualTerms = terms{class: pressure.Burstable}

// wants is what the region would have reserved. What its quota keeps it from using is not kept from others.
func (t terms) wants() int64 {
	if t.quota > 0 {
		return min(t.reserve, t.quota)
	}
	return t.reserve
}

// The fields of the catalogue.
const (
	fieldQuota    = "quota"
	fieldReserve  = "reserve"
	fieldPriority = "priority"
)

// readTerms reads what the catalogue says. What cannot be read, since a newer version wrote it, is as if it were not there.
func readTerms(v *crdt.View, name string) terms {
	t := usualTerms
	t.quota, t.reserve = readBytes(v, name, fieldQuota), readBytes(v, name, fieldReserve)
	if b, ok, _ := v.MapGet(name, fieldPriority); ok {
		if c, err := pressure.ParseClass(string(b)); err == nil {
			t.class = c
		}
	}
	return t
}

func readBytes(v *crdt.View, name, field string) int64 {
	b, _, _ := v.MapGet(name, field)
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0
	}
	return max(0, n)
}

// declareTerms writes them into the catalogue. What rc leaves open stays as it is.
func (rc RegionConfig) declareTerms(tx *crdt.Tx, name string) error {
	for _, x := range []struct {
		field string
		n     int64
	}{{fieldQuota, rc.Quota}, {fieldReserve, rc.Reserve}} {
		if x.n == 0 {
			continue
		}
		if _, err := tx.MapSet(name, x.field, strconv.AppendInt(nil, max(0, x.n), 10)); err != nil {
			return err
		}
	}
	if rc.Priority == "" {
		return nil
	}
	_, err := tx.MapSet(name, fieldPriority, []byte(rc.Priority))
	return err
}

// over is the terms that come of rc.
func (rc RegionConfig) over(t terms) terms {
	if rc.Quota != 0 {
		t.quota = max(0, rc.Quota)
	}
	if rc.Reserve != 0 {
		t.reserve = max(0, rc.Reserve)
	}
	if c, err := pressure.ParseClass(string(rc.Priority)); err == nil {
		t.class = c
	}
	return t
}

// checkTerms says what is wrong with the terms that rc gives a region, here and now. Another node may have less memory, or may be
// told something else at the same time: then see grant.
func (f *Fabric) checkTerms(name string, rc RegionConfig) error {
	if rc.Quota < Unlimited || rc.Reserve < Unlimited {
		return fmt.Errorf("%w: region %q: quota of %d bytes, reservation of %d: want more than 0, 0 for what it has, or %d for none",
			ErrBadTerms, name, rc.Quota, rc.Reserve, Unlimited)
	}
	if rc.Priority != "" {
		if _, err := ParsePriority(string(rc.Priority)); err != nil {
			return fmt.Errorf("%w: region %q: %w", ErrBadTerms, name, err)
		}
	}
	was := usualTerms
	f.mu.RLock()
	if r := f.byName[name]; r != nil {
		was = r.terms()
	}
	f.mu.RUnlock()
	is := rc.over(was)
	if is != was && is.quota > 0 && is.reserve > is.quota {
		return fmt.Errorf("%w: region %q: a reservation of %d bytes is beyond the quota of %d", ErrBadTerms, name, is.reserve, is.quota)
	}
	if f.cfg.MemoryBudget == 0 || is.wants() <= was.wants() {
		return nil
	}
	limit := f.budget.writes
	var others int64
	for _, r := range f.all() {
		if r.name != name {
			others += r.terms().wants()
		}
	}
	if others+is.wants() > limit {
		return fmt.Errorf("%w: region %q: a reservation of %d bytes does not fit: this node has %d for writers, of which %d are reserved for other regions",
			ErrBadTerms, name, is.wants(), limit, others)
	}
	return nil
}

// terms are what the catalogue says.
func (r *Region) terms() terms {
	if t := r.agreed.Load(); t != nil {
		return *t
	}
	return usualTerms
}

// setTerms takes over what the catalogue says, and reports whether something changed.
func (r *Region) setTerms(t terms) bool {
	if r.terms() == t {
		return false
	}
	r.agreed.Store(&t)
	return true
}

// Priority says when the region gives way to others.
func (r *Region) Priority() Priority { return Priority(r.terms().class.String()) }

// Quota is how many bytes of each node's memory the region may take; 0 is no quota.
func (r *Region) Quota() int64 { return r.terms().quota }

// Reservation is how many bytes of each node's memory are kept for the region; 0 is none.
func (r *Region) Reservation() int64 { return r.terms().reserve }

// share is what the region has of this node's memory and is due, for pressure.GiveBack: Fixed is left to who knows it. The caller
// holds mu.
func (r *Region) share() pressure.Claim {
	t := r.terms()
	s := pressure.Claim{Class: t.class, Used: r.core.InUse(), Quota: t.quota, Reservation: r.granted.Load()}
	if r.system {
		s.Class, s.Reservation = pressure.Guaranteed, s.Used
	}
	return s
}

// full gives the error of a write that the region's quota refuses.
func (r *Region) full() error {
	quota, held := r.terms().quota, r.held.Load()
	if quota == 0 || held < quota {
		return nil
	}
	return fmt.Errorf("%w: region %q holds %d bytes of %d: writes to it are refused until something is removed from it or its quota is raised "+
		"(edgemem region create %s --quota SIZE); reads, removes and merges go on", ErrQuota, r.name, held, quota, r.name)
}

// shares is how the node's memory is divided, as of the last change of terms.
type shares struct {
	guaranteed bool      // some region is
	quotas     []*Region // that have one
	reserved   int64     // bytes, for all regions
	lacking    int64     // that should be and could not
	short      string    // says of which region
}

// full counts the regions that take no writes because of their quota, over those that are beyond it.
func (x *shares) full() int { return x.count(0) }
func (x *shares) over() int { return x.count(1) }

func (x *shares) count(beyond int64) (n int) {
	for _, r := range x.quotas {
		if q := r.terms().quota; q > 0 && r.held.Load() >= q+beyond {
			n++
		}
	}
	return n
}

// grant divides what this node can reserve: all that was asked for, if it fits, else by priority and name until nothing is left. It is
// called when terms changed, by one goroutine at a time.
func (f *Fabric) grant() {
	left := f.budget.writes
	if f.cfg.MemoryBudget == 0 {
		left = math.MaxInt64
	}
	x := &shares{}
	var who []*Region
	for _, r := range f.all() {
		t := r.terms()
		x.guaranteed = x.guaranteed || t.class == pressure.Guaranteed
		if t.quota > 0 {
			x.quotas = append(x.quotas, r)
		}
		if t.reserve > 0 || r.granted.Load() > 0 {
			who = append(who, r)
		}
	}
	slices.SortStableFunc(who, func(a, b *Region) int { return cmp.Compare(a.terms().class, b.terms().class) })
	for _, r := range who {
		want := r.terms().wants()
		got := min(want, left)
		left -= got
		x.reserved += got
		if x.lacking += want - got; got < want && x.short == "" {
			x.short = fmt.Sprintf("region %q has %d bytes of the %d that are to be reserved for it: all reservations together are more than the %d that this node has for writers",
				r.name, got, want, f.budget.writes)
		}
		r.mu.Lock()
		r.granted.Store(got)
		r.account()
		r.mu.Unlock()
	}
	f.budget.shares.Store(x)
}

// quotaCalm is below how much of its quota a region is out of the alarm again, in per cent.
const quotaCalm = 95

// quotas raises the alarms of quotas and reservations, and ends them. The caller holds mu.
func (n *roster) quotas() {
	x := n.f.budget.shares.Load()
	n.stand(AlarmReservation, x.short != "", x.short == "", func() string { return x.short })
	worst, most := (*Region)(nil), int64(0)
	for _, r := range x.quotas {
		if q := r.terms().quota; q > 0 {
			if part := int64(float64(r.held.Load()) / float64(q) * 100); part > most {
				worst, most = r, part
			}
		}
	}
	n.stand(AlarmQuota, most >= 100, most < quotaCalm, func() string {
		text := fmt.Sprintf("region %q holds %d bytes of its quota of %d", worst.name, worst.held.Load(), worst.terms().quota)
		if more := x.full() - 1; more > 0 {
			text += fmt.Sprintf(", and %d more are at theirs", more)
		}
		return text
	})
}

// stand raises an alarm of this node or ends it. The caller holds mu.
func (n *roster) stand(kind string, begins, ends bool, detail func() string) {
	_, stands := n.own().alarms[kind]
	switch {
	case begins && !stands && !n.f.closed.Load():
		n.putAlarm(kind, detail())
	case ends && stands:
		n.dropAlarm(n.f.cfg.Node, kind)
	}
}
