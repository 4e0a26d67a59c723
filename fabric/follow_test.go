package fabric

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// readText is the state of an entry as a follower of these tests reads it: its fingerprint and value.
func readText(v *crdt.View, key string) (string, int) {
	val, ok, err := v.Get(key)
	if !ok || err != nil {
		return "", 0
	}
	return string(val), len(val)
}

// reader follows a region and keeps what it is told, as a client would: the cursor of its last event, the entries, and every telling.
type reader struct {
	cursor  Cursor
	entries map[string]string
	told    []string // "key=value", "caught-up", "reset"
}

// follow takes events until stop says so, or nothing is to be told.
func (x *reader) follow(t *testing.T, r *Region, prefix string, stop func(told int) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if x.entries == nil {
		x.entries = map[string]string{}
	}
	done := make(chan error, 1)
	go func() {
		n := 0
		for e, err := range Follow(ctx, r, FollowConfig{Prefix: prefix, From: x.cursor}, readText) {
			if err != nil {
				done <- err
				return
			}
			x.take(e)
			if n++; stop(n) {
				break
			}
		}
		done <- nil
	}()
	synctest.Wait() // it waits for changes, or has left
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func (x *reader) take(e Event[string]) {
	x.cursor, _ = ParseCursor(e.Cursor.String())
	switch e.Kind {
	case EventReset:
		clear(x.entries)
		x.told = append(x.told, "reset")
	case EventCaught:
		x.told = append(x.told, "caught-up")
	case EventEntry:
		x.told = append(x.told, e.Key+"="+e.Value)
		if x.entries[e.Key] = e.Value; e.Value == "" {
			delete(x.entries, e.Key)
		}
	}
}

func toTheEnd(int) bool { return false }

func stateOf(t *testing.T, r *Region, prefix string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for k, err := range r.Scan() {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(k.Key, prefix) {
			out[k.Key] = get(t, r, k.Key)
		}
	}
	return out
}

func TestFollowTellsTheStateThenChanges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := region(t, nodeWith(t, NewMesh(1), "a", Config{}), "default")
		set(t, r, "b/1", "one")
		set(t, r, "a/1", "two")
		var x reader
		x.follow(t, r, "b/", toTheEnd)
		if want := []string{"b/1=one", "caught-up"}; !slices.Equal(x.told, want) {
			t.Fatalf("told %q, want %q", x.told, want)
		}
		set(t, r, "b/2", "three")
		set(t, r, "a/2", "four")
		del(t, r, "b/1")
		x.told = nil
		x.follow(t, r, "b/", toTheEnd)
		if want := []string{"b/1=", "b/2=three", "caught-up"}; !slices.Equal(x.told, want) {
			t.Fatalf("told %q, want %q", x.told, want)
		}
	})
}

func del(t *testing.T, r *Region, key string) {
	t.Helper()
	if _, err := RegisterOf[string](r, key).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A follower that breaks off after any number of events and goes on at its cursor, also after a restart of the node, is told
// every state and none twice.
func TestFollowGoesOnAfterBreaksAndRestarts(t *testing.T) {
	for seed := range uint64(12) {
		bubble.Test(t, func(t *testing.T) { breaksAndRestarts(t, seed) })
	}
}

func breaksAndRestarts(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 9))
	disk := &storetest.Disk{}
	open := func() (*Fabric, *Region) {
		f := boot(t, disk)
		return f, region(t, f, "default")
	}
	f, r := open()
	n := 0
	write := func() {
		for range rng.IntN(200) {
			n++
			key := fmt.Sprint("k", rng.IntN(150))
			if rng.IntN(4) == 0 {
				del(t, r, key)
			} else {
				set(t, r, key, fmt.Sprint(n))
			}
		}
	}
	var x reader
	for range 12 {
		write()
		stop := rng.IntN(120)
		x.follow(t, r, "", func(told int) bool { return told >= stop })
		if rng.IntN(3) == 0 {
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			f, r = open()
		}
	}
	x.follow(t, r, "", toTheEnd)
	if want := stateOf(t, r, ""); !maps.Equal(x.entries, want) {
		t.Errorf("seed %d: the follower has %v, the region %v", seed, x.entries, want)
	}
	seen := map[string]bool{}
	for _, told := range x.told {
		switch {
		case told == "reset":
			t.Errorf("seed %d: a reset without a reason", seed)
		case strings.HasSuffix(told, "="), told == "caught-up":
		case seen[told]: // no two writes write the same value
			t.Errorf("seed %d: %s was told twice", seed, told)
		}
		seen[told] = true
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Writes that come while a slow follower is in the middle of a walk are told once, and none is missed.
func TestFollowSlowly(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := region(t, nodeWith(t, NewMesh(1), "a", Config{}), "default")
		rng := rand.New(rand.NewPCG(4, 4))
		n := 0
		write := func() { n++; set(t, r, fmt.Sprint("k", rng.IntN(300)), fmt.Sprint(n)) }
		for range 500 {
			write()
		}
		x := reader{entries: map[string]string{}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for e, err := range Follow(ctx, r, FollowConfig{}, readText) {
				if err != nil {
					t.Error(err)
				}
				x.take(e)
				if n < 2000 {
					write()
					write()
				}
			}
		}()
		synctest.Wait()
		if want := stateOf(t, r, ""); n < 2000 || !maps.Equal(x.entries, want) {
			t.Errorf("the follower has %v, the region %v", x.entries, want)
		}
		slices.Sort(x.told)
		if once := slices.Compact(slices.Clone(x.told)); len(once) != len(x.told) {
			t.Errorf("%d events, %d of them told before", len(x.told), len(x.told)-len(once))
		}
	})
}

// What the replica cannot tell by the cursor, it tells anew.
func TestFollowResets(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		set(t, ra, "k", "v")
		var x reader
		x.follow(t, ra, "", toTheEnd)
		err := ra.Shrink(t.Context(), func(tx *crdt.Tx) error { tx.Flush(); return nil })
		if err != nil {
			t.Fatal(err)
		}
		x.told = nil
		x.follow(t, ra, "", toTheEnd)
		if want := []string{"reset", "caught-up"}; !slices.Equal(x.told, want) || len(x.entries) > 0 {
			t.Errorf("after a flush: told %q, has %v", x.told, x.entries)
		}
		m.Cut("a", "b")
		synctest.Wait()
		set(t, ra, "new", "1")
		x.follow(t, ra, "", toTheEnd)
		x.told = nil
		x.follow(t, rb, "", toTheEnd)
		if want := []string{"reset", "k=v", "caught-up"}; !slices.Equal(x.told, want) {
			t.Errorf("at a node that is behind: told %q", x.told)
		}
	})
}

// A follower that moves to another node, once that has caught up, is told what changed since and nothing else.
func TestFollowMovesToAnotherNode(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(3)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		synctest.Wait()
		set(t, ra, "k", "1")
		set(t, ra, "l", "1")
		var x reader
		x.follow(t, ra, "", toTheEnd)
		set(t, rb, "k", "2")
		if err := rb.At(t.Context(), x.cursor.Token()); err != nil {
			t.Fatal(err)
		}
		x.told = nil
		x.follow(t, rb, "", toTheEnd)
		if want := []string{"k=2", "caught-up"}; !slices.Equal(x.told, want) {
			t.Errorf("told %q, want %q", x.told, want)
		}
	})
}

// A follower to whom nothing is told hears cursors that keep up.
func TestFollowPulses(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := region(t, nodeWith(t, NewMesh(1), "a", Config{}), "default")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		var pulses []string
		for e, err := range Follow(ctx, r, FollowConfig{Prefix: "x", Pulse: 20 * time.Second}, readText) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == EventPulse {
				pulses = append(pulses, e.Cursor.String())
			}
			set(t, r, "other", "v")
		}
		if len(pulses) != 2 || pulses[0] == pulses[1] {
			t.Errorf("pulses %q", pulses)
		}
	})
}

func TestFollowEndsWithTheFabric(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f, err := Open(t.Context(), Config{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		r := region(t, f, "default")
		ended := make(chan error, 1)
		go func() {
			for _, err := range Follow(t.Context(), r, FollowConfig{}, readText) {
				if err != nil {
					ended <- err
				}
			}
		}()
		synctest.Wait()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestKeysAreOrdered(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), Config{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := region(t, f, "default")
	for i := range 1000 {
		set(t, r, fmt.Sprintf("k%03d", i*7%1000), "v")
	}
	set(t, r, "other", "v")
	var got []string
	for after, more := "", true; more; {
		var page []KeyInfo
		if page, more, err = r.Keys("k", after, 90); err != nil || len(page) == 0 {
			t.Fatalf("%d keys, %v", len(page), err)
		}
		for _, k := range page {
			got = append(got, k.Key)
		}
		after = page[len(page)-1].Key
	}
	if len(got) != 1000 || !slices.IsSorted(got) || slices.Contains(got, "other") {
		t.Errorf("%d keys, sorted %v", len(got), slices.IsSorted(got))
	}
}

func FuzzCursor(f *testing.F) {
	r := crdt.NewRegion(crdt.Config{Name: "default"})
	seen := crdt.Context{crdt.NewOrigin("a", crdt.NewNonce(1<<20, [16]byte{1})): {Base: 7, Above: []crdt.Span{{Lo: 9, Hi: 12}}}}
	f.Add(Token{r.ID(), seen}.String())
	for _, zones := range [][]zone{{{}}, {{seen: seen}}, {{end: 1 << 40, seen: seen}, {end: 1 << 50}, {seen: crdt.Context{}}}} {
		f.Add(Cursor{r.ID(), zones}.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCursor(text); err == nil {
			if again, err := ParseCursor(c.String()); err != nil || again.String() != c.String() {
				t.Fatalf("%q became %q, %v", c, again, err)
			}
		} else if !errors.Is(err, ErrToken) {
			t.Fatal(err)
		}
		if tok, err := ParseToken(text); err == nil {
			if again, err := ParseToken(tok.String()); err != nil || again.String() != tok.String() {
				t.Fatalf("%q became %q, %v", tok, again, err)
			}
		} else if !errors.Is(err, ErrToken) {
			t.Fatal(err)
		}
	})
}
