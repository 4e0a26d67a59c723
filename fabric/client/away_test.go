package client_test

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
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// meshNode opens a node in a mesh and closes it with the test.
func meshNode(t *testing.T, m *fabric.Mesh, id crdt.NodeID) *fabric.Fabric {
	t.Helper()
	store, err := (&storetest.Disk{}).Open()
	if err != nil {
		t.Fatal(err)
	}
	f, err := fabric.Open(t.Context(), fabric.Config{Name: string(id), Tier: "edge", Transport: m.Node(id), Seed: 7, Storage: store, ManualMoves: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// apart gives the clients of a node without a copy of region "r", and of one that has it.
func apart(t *testing.T, m *fabric.Mesh) (asker *fabric.Fabric, away, here client.Client) {
	t.Helper()
	asker = meshNode(t, m, "asker")
	holder := meshNode(t, m, "holder")
	away, here = client.Embedded(asker), client.Embedded(holder)
	if _, err := holder.CreateRegion(t.Context(), "r", fabric.RegionConfig{Placement: fabric.Placement{Kind: "demand"}}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	r, err := asker.Region("r")
	if err == nil && r.Held() {
		err = r.GiveCopy(t.Context())
	}
	if err != nil || r.Held() {
		t.Fatalf("the other node has a copy: %v", err)
	}
	return asker, away, here
}

func setTo(key, val string) client.Op {
	return client.Op{Op: "register/set", Key: key, Args: client.Args{Value: &val}}
}

// TestClientQueues: operations that depend on nothing wait where no holder is reached and the region allows it, and say so.
func TestClientQueues(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := fabric.NewMesh(1)
		asker, away, here := apart(t, m)
		yes := true
		if _, err := asker.CreateRegion(t.Context(), "r", fabric.RegionConfig{QueueWrites: &yes}); err != nil {
			t.Fatal(err)
		}
		m.Cut("asker", "holder")
		one := int64(1)
		add := client.Op{Op: "counter/add", Key: "n", Args: client.Args{By: &one}}
		results, err := away.Write(t.Context(), "r", setTo("k", "v"), add)
		if err != nil || len(results) != 2 || !results[0].Queued || !results[1].Queued || results[1].Value != nil {
			t.Errorf("%+v: %v", results, err)
		}
		if _, err := away.Write(t.Context(), "r", add, client.Op{Op: "entry/delete", Key: "k"}); !errors.Is(err, fabric.ErrNoHolder) || !strings.Contains(err.Error(), "entry/delete") {
			t.Errorf("%v", err)
		}
		m.Heal("asker", "holder")
		time.Sleep(time.Minute)
		if x, err := here.Read(t.Context(), "r", "n"); err != nil || x.Value == nil || *x.Value != "1" {
			t.Errorf("%+v: %v", x, err)
		}
	})
}

// TestClientWithoutCopy: everything that a client does it does through a holder, with the same results and errors.
func TestClientWithoutCopy(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		asker, away, here := apart(t, fabric.NewMesh(1))
		ctx := t.Context()
		var from fabric.Source
		sourced := client.Sourced(ctx, func(s fabric.Source) { from = s })
		one := int64(1)
		for i := range 3 {
			if n, err := client.CounterOf(away, "r", "n").Add(sourced, 1); err != nil || n != int64(i+1) {
				t.Errorf("%d: %v", n, err)
			}
		}
		if from.Holder.ID != "holder" {
			t.Errorf("source: %+v", from)
		}
		odd := "\xff\x00key"
		if _, err := away.Write(ctx, "r", setTo(odd, "\xfe"), setTo("k", "v"), client.Op{Op: "set/add", Key: "s", Args: client.Args{Members: []string{"a", "\xfd"}}}); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{odd, "k", "s", "n"} {
			a, err := away.Read(ctx, "r", key)
			b, err2 := here.Read(ctx, "r", key)
			if err != nil || err2 != nil || fmt.Sprint(a.Key, a.Type, a.Members, a.ETag) != fmt.Sprint(b.Key, b.Type, b.Members, b.ETag) || a.Value != nil && *a.Value != *b.Value {
				t.Errorf("%q: %+v, %v; at the holder %+v, %v", key, a, err, b, err2)
			}
		}
		for i := range 2500 {
			if _, err := here.Write(ctx, "r", setTo(fmt.Sprintf("x%04d", i), "v")); err != nil {
				t.Fatal(err)
			}
		}
		var keys []string
		for k, err := range away.Keys(ctx, "r", "x") {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k.Key)
		}
		if len(keys) != 2500 || !slices.IsSorted(keys) {
			t.Errorf("%d keys", len(keys))
		}
		if _, err := away.Read(ctx, "r", "none"); !errors.Is(err, fabric.ErrNotFound) {
			t.Errorf("an absent key: %v", err)
		}
		if _, err := away.Write(ctx, "r", client.Op{Op: "counter/add", Key: "s", Args: client.Args{By: &one}}); !errors.Is(err, crdt.ErrWrongType) {
			t.Errorf("a wrong type: %v", err)
		}
		if _, err := away.Write(ctx, "r", client.Op{Op: "register/set", Key: "k", IfNoneMatch: "*", Args: client.Args{Value: &odd}}); !errors.Is(err, client.ErrCondition) {
			t.Errorf("a condition: %v", err)
		}
		token, err := away.Token(ctx, "r")
		if err != nil || token == "" {
			t.Errorf("token %q: %v", token, err)
		}
		if err := away.At(ctx, "r", token); err != nil {
			t.Errorf("at its own token: %v", err)
		}
		if err := client.DeleteRegion(ctx, asker, "r"); err != nil {
			t.Errorf("delete: %v", err)
		}
		if _, err := here.Read(ctx, "r", "k"); !errors.Is(err, fabric.ErrNoRegion) {
			t.Errorf("after it is deleted: %v", err)
		}
	})
}

// TestClientWatchesWithoutCopy: the state, then changes; when the link breaks it goes on where it was.
func TestClientWatchesWithoutCopy(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := fabric.NewMesh(1)
		_, away, here := apart(t, m)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range 3 {
			_, _ = here.Write(ctx, "r", setTo(fmt.Sprint("k", i), "v"))
		}
		told := make(chan string, 100)
		go func() {
			defer close(told)
			for ev, err := range away.Watch(ctx, "r", client.WatchConfig{Prefix: "k"}) {
				switch {
				case err != nil:
					told <- err.Error()
				case ev.Entry != nil:
					told <- ev.Entry.Key + "=" + *ev.Entry.Value
				case ev.Event != "pulse":
					told <- ev.Event
				}
			}
		}()
		hear := func(want string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for len(told) > 0 {
				got = append(got, <-told)
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != want {
				t.Errorf("told %q, want %q", s, want)
			}
		}
		time.Sleep(time.Second)
		hear("caught-up k0=v k1=v k2=v")
		_, _ = away.Write(ctx, "r", setTo("k1", "w"))
		time.Sleep(time.Second)
		hear("k1=w")
		m.Cut("asker", "holder")
		m.Heal("asker", "holder")
		time.Sleep(time.Second)
		_, _ = here.Write(ctx, "r", setTo("k2", "w"))
		time.Sleep(5 * time.Second)
		hear("caught-up k2=w")
		m.Cut("asker", "holder")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := <-told; !strings.Contains(got, fabric.ErrNoHolder.Error()) {
			t.Errorf("the holder is gone: %s", got)
		}
	})
}
