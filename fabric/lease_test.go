package fabric

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric/lease"
	"github.com/edgemem/edgemem/test/bubble"
)

// voting opens nodes that vote on leases, each on a disk.
func voting(t *testing.T, m *Mesh, ids ...crdt.NodeID) (map[crdt.NodeID]*Fabric, map[crdt.NodeID]*drive) {
	t.Helper()
	fs, disks, names := map[crdt.NodeID]*Fabric{}, map[crdt.NodeID]*drive{}, []string{}
	for _, id := range ids {
		disks[id] = &drive{}
		fs[id] = stored(t, m, id, disks[id])
		names = append(names, string(id))
	}
	synctest.Wait()
	if _, err := fs[ids[0]].SetVoters(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // the catalogue spreads
	return fs, disks
}

func TestLeaseHasOneHolder(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		fs, _ := voting(t, m, "a", "b", "c")
		d := nodeWith(t, m, "d", Config{Tier: "device"}) // who does not vote asks all the same
		time.Sleep(3 * time.Second)
		ra, rd := region(t, fs["a"], "shop"), region(t, d, "shop")
		l, err := ra.AcquireLease(t.Context(), "till", 10*time.Second, "ann")
		if err != nil {
			t.Fatal(err)
		}
		_, err = rd.AcquireLease(t.Context(), "till", time.Second, "bob")
		var held *LeaseHeldError
		if !errors.As(err, &held) || !errors.Is(err, ErrLeaseHeld) || held.Owner != "ann" || held.Token != l.Token() {
			t.Fatalf("a lease that is held: %v", err)
		}
		if _, err := region(t, d, "other").AcquireLease(t.Context(), "till", time.Second, "bob"); err != nil {
			t.Errorf("the same name in another region: %v", err)
		}
		time.Sleep(8 * time.Second)
		if err := l.Renew(t.Context(), 10*time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		info, err := rd.Lease(t.Context(), "till")
		if err != nil || !info.Held || info.Owner != "ann" || info.Token != l.Token() || info.Left > 2*time.Second {
			t.Errorf("after it was renewed: %+v, %v", info, err)
		}
		if left := l.Left(); left <= 0 || left > 2*time.Second {
			t.Errorf("its holder counts on it for %v", left)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		next, err := rd.AcquireLease(t.Context(), "till", time.Second, "bob")
		if err != nil || next.Token() <= l.Token() {
			t.Fatalf("after it was released: %+v, %v, token before %d", next, err, l.Token())
		}
		if err := l.Renew(t.Context(), time.Second); !errors.Is(err, ErrLeaseLost) || l.Left() != 0 {
			t.Errorf("the first holder renews: %v, %v left", err, l.Left())
		}
		time.Sleep(time.Second)
		if next.Left() != 0 {
			t.Errorf("%v left", next.Left())
		}
		if _, err := ra.RenewLease(t.Context(), "till", next.Token(), time.Second); err != nil {
			t.Errorf("a holder that was late, and that nobody followed: %v", err)
		}
	})
}

func TestMinorityGrantsNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		fs, _ := voting(t, m, "a", "b", "c")
		rc := region(t, fs["c"], "shop")
		old, err := rc.AcquireLease(t.Context(), "till", 5*time.Second, "carl")
		if err != nil {
			t.Fatal(err)
		}
		m.Cut("c", "a")
		m.Cut("c", "b")
		synctest.Wait()
		began := time.Now()
		for what, err := range map[string]error{
			"acquire": second(rc.AcquireLease(t.Context(), "other", time.Second, "")),
			"renew":   old.Renew(t.Context(), time.Second),
			"show":    second(rc.Lease(t.Context(), "till")),
		} {
			if !errors.Is(err, ErrNoMajority) || !strings.Contains(fmt.Sprint(err), "1 of 3 voters answered, 2 are needed: a: no connection; b: no connection") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("it took %v to say so", d)
		}
		ra := region(t, fs["a"], "shop")
		for {
			l, err := ra.AcquireLease(t.Context(), "till", time.Second, "ann")
			if err == nil {
				if old.Left() > 0 || l.Token() <= old.Token() {
					t.Errorf("token %d is granted, and the holder of %d counts on it for %v", l.Token(), old.Token(), old.Left())
				}
				break
			}
			if !errors.Is(err, ErrLeaseHeld) {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("the lease of who is cut off was free after %v", d)
		}
		m.Heal("c", "a")
		time.Sleep(5 * time.Second)
		if err := old.Renew(t.Context(), time.Second); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("who was cut off renews: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestVotesOutliveRestarts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		fs, disks := voting(t, m, "a", "b", "c")
		l, err := region(t, fs["a"], "shop").AcquireLease(t.Context(), "till", time.Minute, "ann")
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []crdt.NodeID{"a", "b", "c"} {
			if err := fs[id].Close(); err != nil {
				t.Fatal(err)
			}
		}
		for id, d := range disks {
			fs[id] = stored(t, m, id, d)
		}
		synctest.Wait()
		_, err = region(t, fs["b"], "shop").AcquireLease(t.Context(), "till", time.Minute, "bob")
		var held *LeaseHeldError
		if !errors.As(err, &held) || held.Token != l.Token() {
			t.Fatalf("after all were restarted: %v", err)
		}
		time.Sleep(time.Minute)
		next, err := region(t, fs["b"], "shop").AcquireLease(t.Context(), "till", time.Minute, "bob")
		if err != nil || next.Token() <= l.Token() {
			t.Fatalf("%+v, %v", next, err)
		}
	})
}

func TestVotersAreFoundedByAll(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		m.SetTier("d", "device")
		nodeWith(t, m, "d", Config{Tier: "device"})
		if _, err := region(t, a, "r").AcquireLease(t.Context(), "l", time.Second, ""); !errors.Is(err, ErrNoVoters) {
			t.Errorf("before anybody votes: %v", err)
		}
		for _, f := range []*Fabric{a, b, c} {
			set(t, region(t, f, "r"), string(f.cfg.Node), "v")
		}
		time.Sleep(3 * time.Second)
		if _, err := a.SetVoters(t.Context(), []string{"a", "d"}); !errors.Is(err, ErrBadLease) {
			t.Errorf("a device that is to vote: %v", err)
		}
		for _, id := range []crdt.NodeID{"a", "b", "d"} {
			m.Cut("c", id)
		}
		synctest.Wait()
		for _, f := range []*Fabric{a, c} {
			if _, err := f.SetVoters(t.Context(), []string{string(f.cfg.Node)}); !errors.Is(err, ErrNoMajority) || f.Voters().Epoch != 0 {
				t.Errorf("a half of the fabric founds an electorate: %v", err)
			}
		}
		if r, err := c.leases.answer(&lease.Request{Kind: lease.Ask, Asked: []crdt.NodeID{"c", "z"}}); err != nil || r.Status != lease.Stranger || r.Detail != "a, b" {
			t.Errorf("c knows a and b, which are not asked: %+v, %v", r, err)
		}
		// A newcomer knows one of those that are apart from the others.
		m.Cut("e", "a")
		m.Cut("e", "b")
		e := node(t, m, "e")
		time.Sleep(3 * time.Second)
		if _, err := e.SetVoters(t.Context(), []string{"e", "c"}); !errors.Is(err, ErrNoMajority) {
			t.Errorf("a newcomer and a half found one: %v", err)
		}
		for _, x := range [][2]crdt.NodeID{{"c", "a"}, {"c", "b"}, {"c", "d"}, {"e", "a"}, {"e", "b"}} {
			m.Heal(x[0], x[1])
		}
		time.Sleep(10 * time.Second)
		v, err := b.SetVoters(t.Context(), []string{"c", "a", "b"})
		if err != nil || v.Epoch != 1 || v.Need != 2 || !v.Votes {
			t.Fatalf("%+v, %v", v, err)
		}
		time.Sleep(3 * time.Second)
		if v := e.Voters(); v.Epoch != 1 || v.Votes || len(v.Voters) != 3 {
			t.Errorf("who was not named: %+v", v)
		}
		if v, err := c.SetVoters(t.Context(), []string{"a", "b", "c"}); err != nil || v.Epoch != 1 {
			t.Errorf("the same voters again: %+v, %v", v, err)
		}
	})
}

func TestVotersAreReplaced(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		fs, disks := voting(t, m, "a", "b", "c")
		disks["d"] = &drive{}
		fs["d"] = stored(t, m, "d", disks["d"])
		time.Sleep(3 * time.Second)
		l, err := region(t, fs["a"], "shop").AcquireLease(t.Context(), "till", 20*time.Second, "ann")
		if err != nil {
			t.Fatal(err)
		}
		if err := fs["c"].Close(); err != nil { // for ever
			t.Fatal(err)
		}
		synctest.Wait()
		v, err := fs["d"].SetVoters(t.Context(), []string{"a", "b", "d"})
		if err != nil || v.Epoch != 2 || !v.Votes {
			t.Fatalf("%+v, %v", v, err)
		}
		for l.Left() > 0 {
			if _, err := region(t, fs["d"], "shop").AcquireLease(t.Context(), "till", time.Second, "dan"); !errors.Is(err, ErrNoMajority) {
				t.Fatalf("ann counts on her lease for %v, and dan gets %v", l.Left(), err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(time.Second)
		next, err := region(t, fs["d"], "shop").AcquireLease(t.Context(), "till", time.Second, "dan")
		if err != nil || next.Token() <= l.Token() {
			t.Fatalf("%+v, %v, the token before was %d", next, err, l.Token())
		}
		// Who comes back knows nothing of that, and learns it.
		fs["c"] = stored(t, m, "c", disks["c"])
		time.Sleep(3 * time.Second)
		if v := fs["c"].Voters(); v.Epoch != 2 || v.Votes {
			t.Errorf("a voter that was replaced: %+v", v)
		}
	})
}

// TestDiskThatIsSetBackHasNoVote: neither has one that is empty. Both vote again when they are named again.
func TestDiskThatIsSetBackHasNoVote(t *testing.T) {
	for name, back := range map[string]func(t *testing.T, d *drive) *drive{
		"empty":    func(*testing.T, *drive) *drive { return &drive{} },
		"set back": func(t *testing.T, d *drive) *drive { return d.copied(t) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				m := NewMesh(1)
				fs, disks := voting(t, m, "a", "b", "c")
				old := back(t, disks["b"])
				if err := fs["b"].Close(); err != nil {
					t.Fatal(err)
				}
				fs["b"] = stored(t, m, "b", disks["b"])
				synctest.Wait()
				l, err := region(t, fs["b"], "shop").AcquireLease(t.Context(), "till", time.Minute, "bob")
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * time.Second)
				if err := fs["b"].Close(); err != nil {
					t.Fatal(err)
				}
				m.Cut("b", "a") // of those that promised with b, only c is there to tell
				fs["b"] = stored(t, m, "b", old)
				synctest.Wait()
				_, err = region(t, fs["b"], "shop").AcquireLease(t.Context(), "other", time.Second, "bob")
				if !errors.Is(err, ErrNoMajority) || !strings.Contains(err.Error(), "b: it has no vote") && !strings.Contains(err.Error(), "b: it does not vote yet") {
					t.Errorf("with a and b, of which b lost what it promised: %v", err)
				}
				m.Heal("b", "a")
				time.Sleep(10 * time.Second)
				if fs["b"].Voters().Votes {
					t.Error("b has a vote")
				}
				if v, err := fs["b"].SetVoters(t.Context(), []string{"a", "b", "c"}); err != nil || v.Epoch != 2 || !v.Votes {
					t.Fatalf("%+v, %v", v, err)
				}
				time.Sleep(time.Minute + time.Second)
				next, err := region(t, fs["b"], "shop").AcquireLease(t.Context(), "till", time.Second, "bob")
				if err != nil || next.Token() <= l.Token() {
					t.Errorf("%+v, %v, the token before was %d", next, err, l.Token())
				}
			})
		})
	}
}

// TestLeasesInAStorm: holders at five nodes, while links break and nodes are killed. No two count on one lease at once, and tokens grow.
func TestLeasesInAStorm(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(3)
		ids := []crdt.NodeID{"a", "b", "c", "d", "e"}
		fs, disks := voting(t, m, ids...)
		var mu sync.Mutex
		type hold struct {
			token       uint64
			from, until time.Time
		}
		var all []hold
		var wg sync.WaitGroup
		stop := time.Now().Add(2 * time.Minute)
		for i, id := range ids {
			rnd := rand.New(rand.NewPCG(uint64(i), 9))
			wg.Go(func() {
				for time.Now().Before(stop) {
					mu.Lock()
					f := fs[id]
					mu.Unlock()
					r, err := f.Region("shop")
					if err != nil {
						time.Sleep(100 * time.Millisecond)
						continue
					}
					l, err := r.AcquireLease(t.Context(), "till", time.Second+time.Duration(rnd.Int64N(int64(time.Second))), string(id))
					if err != nil {
						time.Sleep(time.Duration(rnd.Int64N(int64(200 * time.Millisecond))))
						continue
					}
					h := hold{token: l.Token(), from: time.Now()}
					h.until = h.from.Add(l.Left())
					for range rnd.IntN(3) {
						time.Sleep(min(l.Left(), time.Duration(rnd.Int64N(int64(time.Second)))))
						err := l.Renew(t.Context(), time.Second)
						if left := l.Left(); left > 0 {
							h.until = time.Now().Add(left)
						}
						if err != nil {
							break
						}
					}
					if rnd.IntN(2) == 0 {
						if now := time.Now(); now.Before(h.until) {
							h.until = now
						}
						_ = l.Release(t.Context())
					} else {
						time.Sleep(l.Left())
					}
					mu.Lock()
					all = append(all, h)
					mu.Unlock()
				}
			})
		}
		rnd := rand.New(rand.NewPCG(1, 1))
		for time.Now().Before(stop) {
			time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Second))))
			a, b := ids[rnd.IntN(5)], ids[rnd.IntN(5)]
			switch {
			case a == b:
				_ = fs[a].Close()
				f := stored(t, m, a, disks[a])
				mu.Lock()
				fs[a] = f
				mu.Unlock()
			case rnd.IntN(2) == 0:
				m.Cut(a, b)
			default:
				m.Heal(a, b)
			}
		}
		wg.Wait()
		slices.SortFunc(all, func(a, b hold) int { return cmp.Compare(a.token, b.token) })
		for i := 1; i < len(all); i++ {
			if p, h := all[i-1], all[i]; p.token == h.token || h.from.Before(p.until) {
				t.Errorf("token %d from %v to %v, token %d from %v", p.token, p.from, p.until, h.token, h.from)
			}
		}
		if len(all) < 20 {
			t.Errorf("%d leases were granted", len(all))
		}
	})
}

func TestLeaseArguments(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := node(t, m, "a")
		if _, err := a.SetVoters(t.Context(), []string{"a"}); err != nil {
			t.Fatal(err)
		}
		r := region(t, a, "r")
		for what, err := range map[string]error{
			"no name":     second(r.AcquireLease(t.Context(), "", time.Second, "")),
			"a long name": second(r.AcquireLease(t.Context(), strings.Repeat("x", leaseNameMax+1), time.Second, "")),
			"no time":     second(r.AcquireLease(t.Context(), "l", 0, "")),
			"much time":   second(r.AcquireLease(t.Context(), "l", lease.TTLMax+1, "")),
			"a long owner": second(r.AcquireLease(t.Context(), "l", time.Second,
				strings.Repeat("x", lease.OwnerMax+1))),
			"no token":  second(r.RenewLease(t.Context(), "l", 0, time.Second)),
			"no voters": second(a.SetVoters(t.Context(), nil)),
		} {
			if !errors.Is(err, ErrBadLease) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := a.SetVoters(t.Context(), []string{"nobody"}); !errors.Is(err, ErrNoNode) {
			t.Error(err)
		}
		a.leases.meet(1<<64 - 1) // as a peer may say
		if _, err := r.AcquireLease(t.Context(), "l", time.Second, ""); err != nil {
			t.Errorf("after a number that cannot be: %v", err)
		}
		if info, err := r.Lease(t.Context(), "never"); err != nil || info.Held || info.Token != 0 {
			t.Errorf("%+v, %v", info, err)
		}
	})
}
