package crdt

import (
	"errors"
	"strings"
	"testing"
)

// A read that fails for the moment loses nothing: what has to be written with a value that is away waits, all of it, until that can be
// read again.
func TestAReadThatFailsForTheMomentLosesNothing(t *testing.T) {
	t.Parallel()
	d, other := newDisk(), newTestRegion(2)
	r := d.open(t, 1, false)
	update(t, r, func(tx *Tx) error {
		tx.Set("k", long("v"), false)
		tx.Set("read", long("r"), false)
		return nil
	})
	d.evictAll(t, r)
	update(t, other, func(tx *Tx) error { tx.Set("k", long("w"), false); return nil })
	update(t, r, func(tx *Tx) error { tx.Set("new", long("n"), false); return nil })
	pullAll(t, r, other, 1<<20) // beside the value that is away there is another
	tooMany := errors.New("too many open files")
	d.bad = tooMany
	for range 2 {
		recs, err := r.TryTakeDirty()
		if recs != nil || !errors.Is(err, ErrUnreadable) || !errors.Is(err, tooMany) || !strings.Contains(err.Error(), "try again") || !strings.Contains(err.Error(), `"k"`) {
			t.Fatalf("%d records, %v", len(recs), err)
		}
		if !r.Dirty() || r.DirtyCells() != 2 || r.LostValues() != 0 {
			t.Fatalf("%d cells are dirty, %d values lost", r.DirtyCells(), r.LostValues())
		}
		mustAuditBlind(t, d, r)
	}
	if _, _, err := r.View(testNow).Get("read"); !errors.Is(err, ErrUnreadable) {
		t.Errorf("a read: %v", err)
	}
	if n := r.Lose(r.cellKey([]byte("read"), CellValue, nil)); n != 0 || r.LostValues() != 0 {
		t.Errorf("%d values are lost for a moment's sake", n)
	}
	d.bad = nil
	d.commit(r)
	if r.Dirty() || r.LostValues() != 0 {
		t.Errorf("the disk can be read again: dirty %v, %d lost", r.Dirty(), r.LostValues())
	}
	back := d.open(t, 1, false)
	if state(back) != state(r) || len(back.View(testNow).Siblings("k")) != 2 {
		t.Error("what was committed is not what there was")
	}
	mustAudit(t, r, back)
}

// mustAuditBlind audits a replica whose disk cannot be read just now.
func mustAuditBlind(t *testing.T, d *testDisk, r *Region) {
	t.Helper()
	bad := d.bad
	d.bad = nil
	defer func() { d.bad = bad }()
	mustAudit(t, r)
}
