package fabric

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A session that hops reads its own write at the next node, once that has it, and is told how much is missing until then.
func TestAtWaitsOrSaysWhatIsMissing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		synctest.Wait()
		m.Cut("a", "b")
		for i := range 3 {
			set(t, ra, fmt.Sprint("k", i), "v")
		}
		tok, err := ParseToken(ra.Token().String())
		if err != nil {
			t.Fatal(err)
		}
		var stale *StaleError
		if err := rb.At(within(t, time.Second), tok); !errors.As(err, &stale) || !errors.Is(err, ErrStale) || stale.Missing != 3 {
			t.Fatalf("a node that is cut off says %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- rb.At(t.Context(), tok) }()
		synctest.Wait()
		m.Heal("a", "b")
		if err := <-done; err != nil || get(t, rb, "k2") != "v" {
			t.Errorf("after the link is back: %v, reads %q", err, get(t, rb, "k2"))
		}
		if err := rb.At(t.Context(), Token{}); err != nil {
			t.Errorf("nothing is asked for: %v", err)
		}
	})
}

// Reads through tokens are monotonic, and writes follow reads, however a session hops while pushes are lost.
func TestSessionsHop(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(5)
		var rs []*Region
		for _, id := range []crdt.NodeID{"a", "b", "c"} {
			rs = append(rs, region(t, node(t, m, id), "default"))
		}
		synctest.Wait()
		m.SetLoss(0.5)
		var tok Token
		for i := range 60 {
			r := rs[i%3]
			if err := r.At(within(t, time.Minute), tok); err != nil {
				t.Fatal(err)
			}
			if was := get(t, r, "k"); i > 0 && was != fmt.Sprint(i-1) {
				t.Fatalf("hop %d reads %q", i, was)
			}
			set(t, r, "k", fmt.Sprint(i)) // it covers what was read
			if n := len(siblings(r, "k")); n != 1 {
				t.Fatalf("hop %d: %d siblings", i, n)
			}
			tok, _ = ParseToken(r.Token().String())
		}
	})
}

func siblings(r *Region, key string) (all []crdt.Sibling) {
	_ = r.View(func(v *crdt.View) { all = v.Siblings(key) })
	return all
}

func TestReleaseCountsHolders(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		synctest.Wait()
		m.Cut("a", "c")
		m.Cut("b", "c")
		set(t, ra, "k", "v")
		if n, err := ra.Release(within(t, 10*time.Second), 1); err != nil || n != 1 || get(t, rb, "k") != "v" {
			t.Errorf("one member: %d, %v", n, err)
		}
		var stale *StaleError
		if n, err := ra.Release(within(t, 5*time.Second), 2); !errors.As(err, &stale) || n != 1 || stale.Holders != 1 || stale.Wanted != 2 {
			t.Errorf("two members, one of them cut off: %d, %v", n, err)
		}
		m.Heal("a", "c")
		if n, err := ra.Release(within(t, 10*time.Second), 2); err != nil || n != 2 || get(t, region(t, c, "default"), "k") != "v" {
			t.Errorf("two members: %d, %v", n, err)
		}
	})
}

func TestAcquireBringsWhatOthersHave(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		synctest.Wait()
		m.SetLoss(1)
		time.Sleep(5 * time.Second)
		set(t, ra, "k", "v")
		if got := get(t, rb, "k"); got != "" {
			t.Fatalf("the push came through: %q", got)
		}
		from, err := rb.Acquire(within(t, 10*time.Second))
		if err != nil || !slices.Equal(from, []crdt.NodeID{"a"}) || get(t, rb, "k") != "v" {
			t.Errorf("from %v, %v, reads %q", from, err, get(t, rb, "k"))
		}
		m.Cut("a", "b")
		synctest.Wait()
		if from, err := rb.Acquire(within(t, time.Second)); err != nil || len(from) > 0 {
			t.Errorf("alone: from %v, %v", from, err)
		}
	})
}

func TestTokensAreOfOneRegion(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), Config{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	x, y := region(t, f, "x"), region(t, f, "y")
	set(t, x, "k", "v")
	set(t, y, "k", "v")
	if err := y.At(t.Context(), x.Token()); !errors.Is(err, ErrToken) {
		t.Errorf("a token of another region: %v", err)
	}
	if _, err := x.Token().Merge(y.Token()); !errors.Is(err, ErrToken) {
		t.Errorf("tokens of two regions: %v", err)
	}
	was := x.Token()
	set(t, x, "l", "v")
	if both, err := was.Merge(x.Token()); err != nil || both.String() != x.Token().String() {
		t.Errorf("an older and a newer token: %v, %v", both, err)
	}
	for _, text := range []string{"!", "AQ", strings.Repeat("A", maxTokenBytes+4)} {
		if _, err := ParseToken(text); !errors.Is(err, ErrToken) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestWaitersAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := nodeWith(t, NewMesh(1), "a", Config{})
		r := region(t, f, "default")
		ahead := Token{r.id, crdt.Context{crdt.NewOrigin("z", crdt.NewNonce(1<<20, [16]byte{1})): {Base: 1}}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range waitersMax {
			go func() { _ = r.At(ctx, ahead) }()
		}
		synctest.Wait()
		if err := r.At(ctx, ahead); !errors.Is(err, ErrTooManyWaiters) {
			t.Errorf("one too many: %v", err)
		}
		cancel()
		synctest.Wait()
		if n := f.waiting.Load(); n != 0 {
			t.Errorf("%d calls wait after all have left", n)
		}
	})
}

// Sessions hop between nodes while links are cut and healed, pushes are lost, and others write: what a session reads holds all that it wrote and
// read before, or the node says that it is stale. Each session counts in a field of its own, and reads those of the others.
func TestSessionGuaranteesInAHistory(t *testing.T) {
	for seed := range uint64(4) {
		bubble.Test(t, func(t *testing.T) { sessionHistory(t, seed) })
	}
}

func sessionHistory(t *testing.T, seed uint64) {
	m := NewMesh(seed)
	ids := []crdt.NodeID{"a", "b", "c"}
	var rs []*Region
	for _, id := range ids {
		rs = append(rs, region(t, node(t, m, id), "default"))
	}
	synctest.Wait()
	m.SetLoss(0.3)
	var sessions sync.WaitGroup
	var served, stale atomic.Int64
	for i := range 4 {
		sessions.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			x := hopper{t: t, own: fmt.Sprint("s", i), least: map[string]int64{}}
			for range 60 {
				if x.hop(rs[rng.IntN(len(rs))]) {
					served.Add(1)
				} else {
					stale.Add(1)
				}
				time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			}
		})
	}
	rng := rand.New(rand.NewPCG(seed, 99))
	for range 20 {
		alone := rng.IntN(3)
		left, right := ids[(alone+1)%3], ids[(alone+2)%3]
		m.Cut(ids[alone], left)
		m.Cut(ids[alone], right)
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
		m.Heal(ids[alone], left)
		m.Heal(ids[alone], right)
	}
	sessions.Wait()
	if served.Load() < 50 || stale.Load() == 0 {
		t.Errorf("seed %d: %d calls were served and %d told stale: the history shows too little", seed, served.Load(), stale.Load())
	}
}

// hopper is a session that keeps the token of its last call, and what it must not read less than.
type hopper struct {
	t     *testing.T
	own   string
	token string
	least map[string]int64
}

// hop counts one more at a node and reads what is there. It reports false if the node is stale.
func (x *hopper) hop(r *Region) bool {
	tok, err := ParseToken(x.token)
	if err != nil {
		x.t.Error(err)
		return false
	}
	ctx, cancel := context.WithTimeout(x.t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := r.At(ctx, tok); err != nil {
		if !errors.Is(err, ErrStale) {
			x.t.Error(err)
		}
		return false
	}
	fields := MapOf[string](r, "counts")
	sum, err := fields.Add(x.t.Context(), x.own, 1)
	if err != nil || sum != x.least[x.own]+1 {
		x.t.Errorf("%s at %s: counts %d after %d, %v", x.own, r.f.Node(), sum, x.least[x.own], err)
	}
	for f, err := range fields.All() {
		n, err2 := strconv.ParseInt(f.Value, 10, 64)
		if errors.Join(err, err2) != nil || n < x.least[f.Name] {
			x.t.Errorf("%s at %s: reads %d of %s after %d, %v", x.own, r.f.Node(), n, f.Name, x.least[f.Name], errors.Join(err, err2))
		}
		x.least[f.Name] = n
	}
	x.token = r.Token().String()
	return true
}
