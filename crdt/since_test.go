package crdt

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// stateByKey is what state shows, by key.
func stateByKey(r *Region) map[string]string {
	lines, out := map[string][]string{}, map[string]string{}
	r.EachTip(func(t Tip) {
		if t.Tag != TagRemove {
			lines[t.Key] = append(lines[t.Key], fmt.Sprintf("%d %q %v %d %d %q", t.Kind, t.Sub, t.Dot, t.Tag, t.HLC, t.Value))
		}
	})
	for key, l := range lines { // siblings lie in the order in which they came
		slices.Sort(l)
		out[key] = strings.Join(l, "\n")
	}
	return out
}

func changedSince(r *Region, c Context) (keys []string, all bool) {
	all = r.View(testNow).ChangedSince(c, 0, func(hash uint64, key []byte) {
		if hash != r.EntryHash(string(key)) {
			panic("not the entry's hash")
		}
		keys = append(keys, string(key))
	})
	slices.Sort(keys)
	return slices.Compact(keys), all
}

// Whoever knows a replica's state as of a context and reads again what ChangedSince names has the state of now, at that replica and at any
// other that covers the context. Where it cannot tell, it says so.
func TestChangedSinceNamesAllThatChanged(t *testing.T) {
	t.Parallel()
	told, refused := 0, 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 5))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		type past struct {
			seen  Context
			state map[string]string
		}
		var pasts []past
		for range 30 {
			r := rs[rng.IntN(3)]
			scribble(rng, r, 1+rng.IntN(3))
			pullAll(t, rs[rng.IntN(3)], r, 40+rng.IntN(400))
			if rng.IntN(8) == 0 {
				r.Prune(r.Self(), r.OwnTop()/2)
			}
			pasts = append(pasts, past{r.Context(), stateByKey(r)})
			p, at := pasts[rng.IntN(len(pasts))], rs[rng.IntN(3)]
			if !at.View(testNow).Covers(p.seen) {
				continue
			}
			keys, all := changedSince(at, p.seen)
			if !all {
				refused++
				continue
			}
			told++
			now := stateByKey(at)
			rebuilt := maps.Clone(p.state)
			for _, k := range keys {
				if !at.View(testNow).Newer(p.seen, k) {
					t.Fatalf("seed %d: %q was named and has nothing new", seed, k)
				}
				if rebuilt[k] = now[k]; now[k] == "" {
					delete(rebuilt, k)
				}
			}
			if !maps.Equal(rebuilt, now) {
				t.Fatalf("seed %d: named %q\nhave %q\nwant %q", seed, keys, rebuilt, now)
			}
		}
	}
	if told < 200 || refused < 20 {
		t.Errorf("%d times told and %d refused: the test looks at too little", told, refused)
	}
}

func TestChangedSinceSaysWhatItCannotTell(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error { tx.Set("k", []byte("v"), false); return nil })
	seen := r.Context()
	if keys, all := changedSince(r, seen); len(keys) > 0 || !all {
		t.Errorf("nothing changed: %q, %v", keys, all)
	}
	update(t, r, func(tx *Tx) error { tx.Del("k"); return nil })
	if keys, all := changedSince(r, seen); !slices.Equal(keys, []string{"k"}) || !all {
		t.Errorf("a remove: %q, %v", keys, all)
	}
	r.Prune(r.Self(), r.OwnTop())
	if _, all := changedSince(r, seen); all {
		t.Error("the ghost is forgotten, and all is said to be told")
	}
	if !r.View(testNow).ChangedSince(seen, r.View(testNow).Forgot(), func(uint64, []byte) {}) {
		t.Error("nothing was forgotten meanwhile, and it cannot tell")
	}
	if _, all := changedSince(r, r.Context()); !all {
		t.Error("a context of now can be told")
	}
	update(t, r, func(tx *Tx) error { tx.Set("k", []byte("v"), false); return nil })
	seen = r.Context()
	update(t, r, func(tx *Tx) error { tx.Flush(); return nil })
	if _, all := changedSince(r, seen); all {
		t.Error("after a flush all is said to be told")
	}
}

func FuzzContext(f *testing.F) {
	a, b, c := fuzzRegions(f)
	for _, r := range []*Region{a, b, c} {
		f.Add(EncodeContext(r.Context()))
		f.Add(AppendContexts(nil, r.Context(), Context{}))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if _, _, err := CutContext(msg); err != nil {
			wantTold(t, err)
		}
		x, err := DecodeContext(msg)
		if err != nil {
			wantTold(t, err)
			return
		}
		again, err := DecodeContext(EncodeContext(x))
		if err != nil || !again.Equal(x) {
			t.Fatalf("%v became %v, %v", x, again, err)
		}
		v := a.View(testNow)
		v.ChangedSince(x, 0, func(_ uint64, key []byte) { v.Newer(x, string(key)) })
		_, _ = v.Covers(x), v.Context().Missing(x)
	})
}

func TestContextsInARow(t *testing.T) {
	t.Parallel()
	a, b, _ := fuzzRegions(t)
	msg := append(AppendContexts([]byte{}, a.Context(), b.Context()), "rest"...)
	x, msg, err1 := CutContext(msg)
	y, msg, err2 := CutContext(msg)
	if err1 != nil || err2 != nil || !x.Equal(a.Context()) || !y.Equal(b.Context()) || string(msg) != "rest" {
		t.Errorf("%v %v, %v %v, left %q", x, err1, y, err2, msg)
	}
	if !bytes.Equal(EncodeContext(x), EncodeContext(x.Clone())) {
		t.Error("equal contexts have different bytes")
	}
}
