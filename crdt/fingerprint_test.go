package crdt

import (
	"fmt"
	"testing"
)

// Every change of an entry, made here or merged, changes its fingerprint; a change of another entry does not.
func TestFingerprintTellsEveryChange(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	seen := map[uint64]string{a.View(testNow).Fingerprint("k"): "absent"}
	note := func(what string) {
		t.Helper()
		print := a.View(testNow).Fingerprint("k")
		if before, twice := seen[print]; twice {
			t.Errorf("%s has the fingerprint of %s", what, before)
		}
		seen[print] = what
	}
	for i, write := range []func(tx *Tx){
		func(tx *Tx) { tx.Set("k", []byte("v"), false) },
		func(tx *Tx) { tx.Set("k", []byte("v"), false) },
		func(tx *Tx) { tx.Expire("k", testNow+5000) },
		func(tx *Tx) { tx.Persist("k") },
		func(tx *Tx) { tx.Del("k") },
		func(tx *Tx) { _, _ = tx.SetAdd("k", "m") },
		func(tx *Tx) { _, _ = tx.SetAdd("k", "n") },
		func(tx *Tx) { _, _ = tx.SetRemove("k", "m") },
		func(tx *Tx) { tx.Del("k"); _, _ = tx.Incr("k", 1) },
		func(tx *Tx) { _, _ = tx.Incr("k", 1) },
		func(tx *Tx) { tx.Set("k", []byte("v"), false); tx.Expire("k", testNow+2000) },
	} {
		update(t, a, func(tx *Tx) error { write(tx); return nil })
		note(fmt.Sprintf("write %d", i))
	}
	before := a.View(testNow).Fingerprint("k")
	if a.View(testNow+3000).Fingerprint("k") == before {
		t.Error("an expiry that passed does not show")
	}
	update(t, a, func(tx *Tx) error { tx.Set("other", nil, false); return nil })
	if a.View(testNow).Fingerprint("k") != before {
		t.Error("a write to another key shows")
	}
	update(t, b, func(tx *Tx) error { tx.Set("k", []byte("theirs"), false); return nil })
	pullAll(t, a, b, 1<<20)
	note("a merge")
	before = a.View(testNow).Fingerprint("k")
	update(t, a, func(tx *Tx) error { tx.Flush(); return nil })
	if a.View(testNow).Fingerprint("k") == before {
		t.Error("a flush does not show")
	}
}
