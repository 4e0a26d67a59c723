package api

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
)

// A client does the same whether the node is in its process or behind HTTP.
func TestClientsAgree(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, client.Client){
		"handles": clientHandles, "bytes": clientBytes, "errors": clientErrors, "keys": clientKeys, "watch": clientWatch, "sessions": clientSessions, "leases": clientLeases,
	} {
		t.Run("embedded/"+name, func(t *testing.T) {
			t.Parallel()
			test(t, client.Embedded(newNode(t).f))
		})
		t.Run("remote/"+name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			s := httptest.NewServer(n.h)
			c, err := client.Dial(s.URL, "")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			defer n.h.Close() // ends watches
			defer c.Close()
			test(t, c)
		})
	}
}

func clientHandles(t *testing.T, c client.Client) {
	ctx := t.Context()
	type order struct{ Table int }
	reg := client.RegisterOf(c, "shop", "order:17", fabric.JSON[order]{})
	for range 2 {
		if err := reg.Update(ctx, func(o order) (order, error) { o.Table += 2; return o, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if o, err := reg.Get(ctx); err != nil || o.Table != 4 {
		t.Errorf("register: %+v, %v", o, err)
	}
	when := client.RegisterOf(c, "shop", "when", fabric.Binary[time.Time, *time.Time]{})
	if err := when.Set(ctx, time.Unix(7, 0).UTC()); err != nil {
		t.Fatal(err)
	}
	if at, err := when.Get(ctx); err != nil || at.Unix() != 7 {
		t.Errorf("binary: %v, %v", at, err)
	}
	n := client.CounterOf(c, "shop", "n")
	if sum, err := n.Add(ctx, -3); err != nil || sum != -3 {
		t.Errorf("counter: %d, %v", sum, err)
	}
	if sum, err := n.Value(ctx); err != nil || sum != -3 {
		t.Errorf("counter: %d, %v", sum, err)
	}
	seats := client.BoundedOf(c, "shop", "seats")
	if err := seats.Create(ctx, 10, 0, false); err != nil {
		t.Fatal(err)
	}
	if n, err := seats.Add(ctx, -4); err != nil || n != 6 {
		t.Errorf("bounded counter: %d, %v", n, err)
	}
	if _, err := seats.Add(ctx, -7); !errors.Is(err, crdt.ErrNoRights) {
		t.Errorf("below its limit: %v, want ErrNoRights", err)
	}
	if n, b, err := seats.Get(ctx); err != nil || n != 6 || b != (client.Bounded{Limit: 0, Rights: 6}) {
		t.Errorf("bounded counter: %d, %+v, %v", n, b, err)
	}
	if err := seats.Create(ctx, 1, 0, false); !errors.Is(err, crdt.ErrBoundedExists) {
		t.Errorf("twice: %v", err)
	}
	set := client.SetOf(c, "shop", "set", fabric.Raw[string]{})
	added, err1 := set.Add(ctx, "b", "a", "c")
	removed, err2 := set.Remove(ctx, "c", "d")
	all, err3 := set.All(ctx)
	if added != 3 || removed != 1 || !slices.Equal(all, []string{"a", "b"}) || errors.Join(err1, err2, err3) != nil {
		t.Errorf("set: %d added, %d removed, %q, %v", added, removed, all, errors.Join(err1, err2, err3))
	}
	m := client.MapOf(c, "shop", "map", fabric.JSON[int]{})
	err := errors.Join(m.Set(ctx, "x", 1), m.Set(ctx, "y", 2))
	gone, err2 := m.Remove(ctx, "x")
	if y, err3 := m.Get(ctx, "y"); y != 2 || !gone || errors.Join(err, err2, err3) != nil {
		t.Errorf("map: %d, %v, %v", y, gone, errors.Join(err, err2, err3))
	}
	if found, err := m.Delete(ctx); !found || err != nil {
		t.Errorf("delete: %v, %v", found, err)
	}
}

func clientBytes(t *testing.T, c client.Client) {
	ctx := t.Context()
	key := "\xff/.."
	set := client.SetOf(c, "shop", key, fabric.Raw[string]{})
	if n, err := set.Add(ctx, "\x00\xfe", "text"); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if all, err := set.All(ctx); err != nil || !slices.Equal(all, []string{"\x00\xfe", "text"}) {
		t.Errorf("%q, %v", all, err)
	}
	if e, err := c.Read(ctx, "shop", key); err != nil || e.Key != key {
		t.Errorf("%+v, %v", e, err)
	}
	if err := client.MapOf(c, "shop", ".", fabric.Raw[string]{}).Set(ctx, "\xfd", "v"); err != nil {
		t.Error(err)
	}
	if v, err := client.MapOf(c, "shop", ".", fabric.Raw[string]{}).Get(ctx, "\xfd"); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
}

func clientErrors(t *testing.T, c client.Client) {
	ctx := t.Context()
	one, text := int64(1), "text"
	set := func(op client.Op) error { _, err := c.Write(ctx, "shop", op); return err }
	if err := set(client.Op{Op: "register/set", Key: "k", Args: client.Args{Value: &text}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.SetOf(c, "shop", "s", fabric.Raw[string]{}).Add(ctx, "m"); err != nil {
		t.Fatal(err)
	}
	_, absent := c.Read(ctx, "shop", "absent")
	_, nowhere := c.Read(ctx, "nowhere", "k")
	_, wrong := client.CounterOf(c, "shop", "s").Value(ctx)
	for _, x := range []struct {
		what      string
		got, want error
	}{
		{"an absent key", absent, fabric.ErrNotFound}, {"a set as a counter", wrong, crdt.ErrWrongType},
		{"add to a text", set(client.Op{Op: "counter/add", Key: "k", Args: client.Args{By: &one}}), crdt.ErrNotInteger},
		{"add to a set", set(client.Op{Op: "counter/add", Key: "s", Args: client.Args{By: &one}}), crdt.ErrWrongType},
		{"a condition", set(client.Op{Op: "register/set", Key: "k", IfNoneMatch: "*", Args: client.Args{Value: &text}}), client.ErrCondition},
		{"no arguments", set(client.Op{Op: "counter/add", Key: "k"}), client.ErrArguments},
		{"no operation", set(client.Op{Op: "x", Key: "k"}), client.ErrArguments},
		{"a token that is none", c.At(ctx, "shop", "!"), fabric.ErrToken},
	} {
		if !errors.Is(x.got, x.want) {
			t.Errorf("%s: %v, want %v", x.what, x.got, x.want)
		}
	}
	if !errors.Is(nowhere, fabric.ErrNoRegion) && !errors.Is(nowhere, fabric.ErrNotFound) {
		t.Errorf("no region: %v", nowhere)
	}
}

func clientKeys(t *testing.T, c client.Client) {
	for i := range 1500 {
		if _, err := client.CounterOf(c, "shop", fmt.Sprintf("k%04d", i*7%1500)).Add(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for k, err := range c.Keys(t.Context(), "shop", "k") {
		if want := fmt.Sprintf("k%04d", n); err != nil || k.Key != want || k.Type != "string" {
			t.Fatalf("%+v, %v, want %s", k, err, want)
		}
		n++
	}
	if n != 1500 {
		t.Errorf("%d keys", n)
	}
}

func clientWatch(t *testing.T, c client.Client) {
	sum := client.CounterOf(c, "shop", "n")
	cursor := ""
	for round := range int64(3) {
		if _, err := sum.Add(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var heard []string
		for ev, err := range c.Watch(ctx, "shop", client.WatchConfig{Cursor: cursor}) {
			if err != nil {
				t.Fatal(err)
			}
			cursor = ev.Cursor
			if ev.Entry != nil {
				heard = append(heard, *ev.Entry.Value)
			}
			if ev.Event == "caught-up" {
				break
			}
		}
		cancel()
		if want := []string{fmt.Sprint(round + 1)}; !slices.Equal(heard, want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
	}
	for _, err := range c.Watch(t.Context(), "shop", client.WatchConfig{Cursor: "!"}) {
		if !errors.Is(err, fabric.ErrToken) {
			t.Errorf("a cursor that is none: %v", err)
		}
	}
}

func clientSessions(t *testing.T, c client.Client) {
	if _, err := client.CounterOf(c, "shop", "n").Add(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	token, err := c.Token(t.Context(), "shop")
	if err != nil || token == "" || c.At(t.Context(), "shop", token) != nil {
		t.Errorf("token %q, %v, %v", token, err, c.At(t.Context(), "shop", token))
	}
	other := newNode(t)
	r, err := other.f.Region("shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := fabric.RegisterOf[string](r, "k").Set(t.Context(), "v"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.At(ctx, "shop", r.Token().String()); !errors.Is(err, fabric.ErrStale) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a node that lacks a write: %v", err)
	}
}

func clientLeases(t *testing.T, c client.Client) {
	ctx := t.Context()
	if _, err := c.AcquireLease(ctx, "shop", "till", time.Minute, "ann"); !errors.Is(err, fabric.ErrNoVoters) {
		t.Errorf("before anybody votes: %v", err)
	}
	if err := c.SetVoters(ctx, "nobody"); !errors.Is(err, fabric.ErrNoNode) {
		t.Error(err)
	}
	if err := c.SetVoters(ctx, "n"); err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	l, err := c.AcquireLease(ctx, "shop", "a/till", time.Minute, "ann")
	if lasts := l.Until.Sub(asked); err != nil || !l.Held || l.Token == 0 || lasts < 59*time.Second || lasts >= time.Minute {
		t.Fatalf("%+v, %v", l, err)
	}
	if _, err := c.AcquireLease(ctx, "shop", "a/till", time.Minute, "bob"); !errors.Is(err, fabric.ErrLeaseHeld) {
		t.Errorf("a lease that is held: %v", err)
	}
	if x, err := c.Lease(ctx, "shop", "a/till"); err != nil || !x.Held || x.Owner != "ann" || x.Token != l.Token || x.Until.Before(l.Until) {
		t.Errorf("%+v, %v; the holder has %+v", x, err, l)
	}
	if x, err := c.RenewLease(ctx, "shop", "a/till", l.Token, 2*time.Minute); err != nil || x.Until.Sub(asked) < 100*time.Second {
		t.Errorf("%+v, %v", x, err)
	}
	if err := c.ReleaseLease(ctx, "shop", "a/till", l.Token); err != nil {
		t.Error(err)
	}
	if _, err := c.RenewLease(ctx, "shop", "a/till", l.Token, time.Minute); !errors.Is(err, fabric.ErrLeaseLost) {
		t.Errorf("a lease that was given up: %v", err)
	}
	if x, err := c.Lease(ctx, "shop", "a/till"); err != nil || x.Held || !x.Until.IsZero() {
		t.Errorf("%+v, %v", x, err)
	}
}

// Every problem has a name that clients turn back into the error that it was.
func TestProblemsComeBackAsErrors(t *testing.T) {
	t.Parallel()
	for _, x := range problems {
		f := client.Fault{Type: "urn:edgemem:problem:" + x.name, Detail: "d"}
		if back := f.Err(); !errors.Is(back, x.err) && !(x.name == "not-found" && errors.Is(back, fabric.ErrNotFound)) && x.err != crdt.ErrNotNumber {
			t.Errorf("%v comes back as %v", x.err, back)
		}
	}
}
