package fabric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

func textOf(e StreamEntry) string {
	var out []string
	for _, f := range e.Fields {
		out = append(out, f.Name+"="+f.Value)
	}
	return strings.Join(out, " ")
}

func entriesOf(t *testing.T, s Stream) (out []string) {
	t.Helper()
	for e, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, textOf(e))
	}
	return out
}

// TestStreamFollowersGetEachEntryOnce: in whatever order nodes hear of each other.
func TestStreamFollowersGetEachEntryOnce(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := region(t, node(t, m, "a"), "r"), region(t, node(t, m, "b"), "r")
		log, far := StreamOf(a, "log"), StreamOf(b, "log")
		add := func(s Stream, val string) crdt.StreamID {
			t.Helper()
			id, err := s.Add(t.Context(), StreamField{"v", val}, StreamField{"v", "again"})
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		m.Cut("a", "b")
		add(far, "early there")
		first := add(log, "here")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got [2][]string // read when both followers wait
		ended := make(chan error, len(got))
		for i, above := range []crdt.StreamID{{}, first} {
			go func() {
				for e, err := range log.Follow(ctx, above) {
					if err != nil {
						ended <- err
						return
					}
					got[i] = append(got[i], textOf(e))
				}
				ended <- nil
			}()
		}
		synctest.Wait()
		for i := range 3 * scanStep { // more than a step
			add(far, fmt.Sprint("there ", i))
		}
		m.Heal("a", "b")
		time.Sleep(time.Minute)
		sameState(t, a, b)
		synctest.Wait()
		all := entriesOf(t, log)
		for i, have := range got {
			want := len(all) - i // the second has had one
			slices.Sort(have)
			if len(have) != want || len(slices.Compact(have)) != want {
				t.Errorf("follower %d got %d entries of %d", i, len(have), want)
			}
		}
		cancel()
		for range got {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if len(all) != 2+3*scanStep || !slices.Equal(all, entriesOf(t, far)) {
			t.Errorf("%d entries", len(all))
		}
	})
}

func TestStreamHandle(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		f, err := Open(t.Context(), Config{Name: "n"})
		if err != nil {
			t.Fatal(err)
		}
		r := region(t, f, "r")
		s := StreamOf(r, "s")
		var ids []crdt.StreamID
		for i := range 5 {
			id, err := s.Add(t.Context(), StreamField{"n", fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if n, err := s.Remove(t.Context(), ids[1], ids[1]); n != 1 || err != nil {
			t.Error(n, err)
		}
		if n, err := s.Trim(t.Context(), 2); n != 2 || err != nil {
			t.Error(n, err)
		}
		if got := entriesOf(t, s); !slices.Equal(got, []string{"n=3", "n=4"}) {
			t.Error(got)
		}
		if n, err := s.Len(); n != 2 || err != nil {
			t.Error(n, err)
		}
		set(t, r, "text", "x")
		if _, err := StreamOf(r, "text").Add(t.Context()); !errors.Is(err, crdt.ErrWrongType) {
			t.Error(err)
		}
		if _, err := s.Add(t.Context(), StreamField{"big", strings.Repeat("x", crdt.MaxValueBytes)}); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		ended := make(chan error, 1)
		go func() {
			for _, err := range s.Follow(context.Background(), ids[4]) {
				ended <- err
				return
			}
			ended <- nil
		}()
		synctest.Wait()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}
