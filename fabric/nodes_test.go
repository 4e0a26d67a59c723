package fabric

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// kinds lists the kinds of alarms that a node tells of.
func kinds(f *Fabric) string {
	var out []string
	for _, a := range f.Alarms() {
		out = append(out, a.Kind+"@"+string(a.Node))
	}
	return strings.Join(out, " ")
}

// drive is a disk that can be copied while it is in use. It remembers the starts, as a store does.
type drive struct {
	storetest.Disk
	starts []crdt.Nonce
	in     storetest.Store
	rot    func(key, value []byte) ([]byte, error) // what is read in place of a record
}

var starts atomic.Uint64 // no two starts are alike, whatever the disk

func (d *drive) NewIncarnation(ctx context.Context, node crdt.NodeID, least uint32) (nonce crdt.Nonce, err error) {
	_, err = d.in.NewIncarnation(ctx, node, least)
	var random [16]byte
	binary.BigEndian.PutUint64(random[:], starts.Add(1))
	nonce = crdt.NewNonce(max(least, uint32(crdt.FirstNumber+starts.Load())), random)
	d.starts = append(d.starts, nonce)
	return nonce, err
}

func (d *drive) PastNonces() ([]crdt.Nonce, error) { return d.starts, nil }
func (d *drive) Load(fn func(key, value []byte) error) error {
	return d.in.Load(func(key, value []byte) (err error) {
		if d.rot != nil {
			if value, err = d.rot(key, value); err != nil {
				return err
			}
		}
		return fn(key, value)
	})
}
func (d *drive) Commit(recs []crdt.Record) error { return d.in.Commit(recs) }
func (d *drive) CommitPrivate(recs []crdt.Record) error {
	return d.in.(privateStorage).CommitPrivate(recs)
}
func (d *drive) Private(fn func(key, value []byte) error) (bool, error) {
	return d.in.(privateStorage).Private(fn)
}
func (d *drive) Close() error { return d.in.Close() }

func (d *drive) copied(t *testing.T) *drive {
	t.Helper()
	out := &drive{starts: slices.Clone(d.starts)}
	var recs, private []crdt.Record
	err := d.in.Load(func(k, v []byte) error {
		recs = append(recs, crdt.Record{Key: bytes.Clone(k), Value: bytes.Clone(v)})
		return nil
	})
	if err == nil {
		_, err = d.Private(func(k, v []byte) error {
			private = append(private, crdt.Record{Key: bytes.Clone(k), Value: bytes.Clone(v)})
			return nil
		})
	}
	if err == nil {
		out.in, err = out.Open()
	}
	if err == nil {
		err = errors.Join(out.in.Commit(recs), out.CommitPrivate(private), out.in.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// stored opens a node in the mesh on a disk.
func stored(t *testing.T, m *Mesh, id crdt.NodeID, d *drive) *Fabric {
	t.Helper()
	var err error
	if d.in, err = d.Open(); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), Config{Name: string(id), Tier: "edge", Transport: m.Node(id), Storage: d, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func claims(f *Fabric, id crdt.NodeID) []claim {
	f.roster.mu.Lock()
	defer f.roster.mu.Unlock()
	return f.roster.record(id).claims
}

func TestFirstWriteSaysWhoWrites(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		d := &drive{}
		a, b := stored(t, m, "a", d), node(t, m, "b")
		_ = get(t, region(t, a, "default"), "k")
		time.Sleep(2 * time.Second)
		if c := claims(b, "a"); len(c) != 0 || a.roster.r.core.Seen() != 0 {
			t.Fatalf("a only read, and its record says %v", c)
		}
		set(t, region(t, a, "default"), "k", "v")
		time.Sleep(2 * time.Second)
		first := claims(b, "a")
		if len(first) != 1 || first[0].origin != a.Origin() {
			t.Fatalf("record of a: %v, want %v", first, a.Origin())
		}
		for _, f := range []*Fabric{a, b} {
			if len(f.Regions()) != 1 {
				t.Errorf("%s lists %v", f.Node(), f.Regions())
			}
			if _, err := f.Region(nodesRegion); !errors.Is(err, ErrRegionName) {
				t.Errorf("the nodes' region is open to users: %v", err)
			}
		}
		// A restart that reads adds nothing; one that writes takes the record over, and nobody minds.
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		a = stored(t, m, "a", d)
		time.Sleep(2 * time.Second)
		if c := claims(b, "a"); len(c) != 1 || c[0].origin != first[0].origin {
			t.Errorf("after a restart that reads: %v", c)
		}
		set(t, region(t, a, "default"), "k", "w")
		time.Sleep(2 * time.Second)
		if c := claims(b, "a"); len(c) != 1 || c[0].origin != a.Origin() {
			t.Errorf("after a restart that writes: %v", c)
		}
		if all := kinds(a) + kinds(b); all != "" {
			t.Errorf("alarms: %s", all)
		}
	})
}

// A crash that took the record of the last start does not look like a backup that was put back.
func TestCrashIsNoRestoredBackup(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		d := &drive{}
		a, b := stored(t, m, "a", d), node(t, m, "b")
		synctest.Wait()
		release := d.Hold()
		set(t, region(t, a, "default"), "k", "v")
		synctest.Wait()
		if c := claims(b, "a"); len(c) != 1 {
			t.Fatal("b has no record of a")
		}
		m.Cut("a", "b")
		err := d.Crash()
		release()
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		a = stored(t, m, "a", d)
		m.Heal("a", "b")
		set(t, region(t, a, "default"), "l", "v")
		time.Sleep(2 * time.Second)
		if c := claims(b, "a"); len(c) != 1 || c[0].origin != a.Origin() {
			t.Errorf("record of a: %v", c)
		}
		if all := kinds(a) + kinds(b); all != "" {
			t.Errorf("alarms: %s", all)
		}
	})
}

// A backup that is put back after the node went on: a notice, which goes by itself.
func TestRestoredBackupIsNoticed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		d := &drive{}
		a, b := stored(t, m, "a", d), node(t, m, "b")
		set(t, region(t, a, "default"), "k", "v")
		time.Sleep(2 * time.Second)
		backup := d.copied(t)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		a = stored(t, m, "a", d)
		set(t, region(t, a, "default"), "k", "w")
		time.Sleep(2 * time.Second)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		a = stored(t, m, "a", backup)
		time.Sleep(2 * time.Second)
		if got := kinds(a); got != "restored@a" {
			t.Errorf("alarms of a: %q", got)
		}
		if got := get(t, region(t, a, "default"), "k"); got != "w" {
			t.Errorf("a reads %q", got)
		}
		if got := kinds(b); got != "" {
			t.Errorf("alarms of b: %q", got)
		}
		time.Sleep(noticeFor)
		if got := kinds(a); got != "" {
			t.Errorf("alarms of a, later: %q", got)
		}
	})
}

// Two processes with one key, which the others reach in turns: both find out, all are told, nothing is lost, and the alarm
// goes when one of them is stopped.
func TestCloneIsToldToAll(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		d := &drive{}
		a, hub, far := stored(t, m, "a", d), node(t, m, "hub"), node(t, m, "far")
		m.Cut("a", "far")
		set(t, region(t, a, "default"), "k", "v")
		time.Sleep(2 * time.Second)
		twin := stored(t, m, "a", d.copied(t))
		time.Sleep(2 * time.Second)
		if got := kinds(hub); got != "" {
			t.Errorf("the clone only reads: %s", got)
		}
		for i := range 6 { // the connection of one ends that of the other
			set(t, region(t, a, "default"), fmt.Sprint("a", i), "v")
			set(t, region(t, twin, "default"), fmt.Sprint("twin", i), "v")
			m.Swap("a")
			time.Sleep(5 * time.Second)
		}
		m.Swap("a") // what the twin wrote last
		time.Sleep(5 * time.Second)
		for i, f := range []*Fabric{a, twin, hub, far} {
			if got := kinds(f); got != "clone@a" {
				t.Errorf("alarms of %d, %s: %q", i, f.Node(), got)
			}
		}
		sameState(t, region(t, hub, "default"), region(t, far, "default"))
		for i := range 6 {
			for _, key := range []string{fmt.Sprint("a", i), fmt.Sprint("twin", i)} {
				if got := get(t, region(t, far, "default"), key); got != "v" {
					t.Errorf("%s did not get through", key)
				}
			}
		}
		before := hub.roster.r.core.Seen()
		for range 60 { // an hour: the two answer each other, not too often, and the alarm stands
			m.Swap("a")
			time.Sleep(time.Minute)
		}
		if got := kinds(far); got != "clone@a" {
			t.Errorf("alarms of far after an hour: %q", got)
		}
		if n := hub.roster.r.core.Seen() - before; n < 6 || n > 24 {
			t.Errorf("%d claims in an hour", n)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(cloneQuiet + 2*reclaimEvery)
		for _, f := range []*Fabric{twin, hub, far} {
			if got := kinds(f); got != "" {
				t.Errorf("alarms of %s after the clone was stopped: %q", f.Node(), got)
			}
		}
	})
}

// The alarm for a clone outlasts a restart of those who tell of it.
func TestCloneAlarmOutlastsRestarts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		d, e := &drive{}, &drive{}
		a, b := stored(t, m, "a", d), stored(t, m, "b", e)
		set(t, region(t, a, "default"), "k", "v")
		time.Sleep(2 * time.Second)
		twin := stored(t, m, "a", d.copied(t))
		for range 4 {
			set(t, region(t, twin, "default"), "k", "w")
			set(t, region(t, a, "default"), "k", "w")
			m.Swap("a")
			time.Sleep(5 * time.Second)
		}
		if got := kinds(b); got != "clone@a" {
			t.Fatalf("alarms of b: %q", got)
		}
		for _, f := range []*Fabric{a, twin, b} {
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		b = stored(t, m, "b", e)
		if got := kinds(b); got != "clone@a" {
			t.Errorf("alarms of b after a restart: %q", got)
		}
		n, err := b.ClearAlarm(t.Context(), AlarmClone, "a")
		if got := kinds(b); n != 1 || err != nil || got != "" {
			t.Errorf("cleared %d, %v, left %q", n, err, got)
		}
	})
}

func TestRetirement(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		set(t, region(t, c, "default"), "k", "v")
		time.Sleep(2 * time.Second)
		if _, err := a.RetireNode(t.Context(), "c", false); !errors.Is(err, ErrNodeConnected) {
			t.Errorf("retired while connected: %v", err)
		}
		if _, err := a.RetireNode(t.Context(), "nobody", true); !errors.Is(err, ErrNoNode) {
			t.Errorf("retired nobody: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.RetireNode(t.Context(), "c", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		b.roster.mu.Lock()
		r := b.roster.record("c").retired
		b.roster.mu.Unlock()
		if r == nil || r.By != "a" {
			t.Errorf("b knows of %+v", r)
		}
		if got := kinds(b); got != "" {
			t.Errorf("alarms: %q", got)
		}
		c = node(t, m, "c")
		set(t, region(t, c, "default"), "k", "back")
		time.Sleep(2 * time.Second)
		for _, f := range []*Fabric{a, b, c} {
			if got := kinds(f); got != "returned@c" {
				t.Errorf("alarms of %s: %q", f.Node(), got)
			}
		}
		if got := get(t, region(t, a, "default"), "k"); got != "back" {
			t.Errorf("what a retired node writes is lost: %q", got)
		}
		if _, err := b.ReinstateNode(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := kinds(a) + kinds(c); got != "" {
			t.Errorf("alarms: %q", got)
		}
	})
}

// The number of series depends on neither members times regions nor origins.
func TestMetricsOfMembers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		reg := prometheus.NewRegistry()
		f, err := Open(t.Context(), Config{Name: "a", Transport: m.Node("a"), Registerer: reg})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		for i := range 3 {
			b := node(t, m, crdt.NodeID(fmt.Sprint("b", i)))
			if i == 0 {
				set(t, region(t, b, "default"), "k", "v")
			}
		}
		time.Sleep(2 * time.Second)
		m.Cut("a", "b0")
		set(t, region(t, f, "default"), "l", "v")
		f.raise(AlarmDamaged, "a test")
		time.Sleep(2 * time.Second)
		got := map[string]float64{}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, fam := range families {
			for _, x := range fam.GetMetric() {
				name := fam.GetName()
				for _, l := range x.GetLabel() {
					name += "," + l.GetValue()
				}
				got[name] = x.GetGauge().GetValue()
			}
		}
		for name, want := range map[string]float64{
			"edgemem_nodes,connected": 2, "edgemem_nodes,away": 1, "edgemem_alarms,self,damaged": 1,
			"edgemem_alarms,others,clone": 0, "edgemem_peer_lag_writes,b0": 1, "edgemem_peer_lag_seconds,b0": 2,
			"edgemem_region_lag_writes,default": 1, "edgemem_region_lag_seconds,default": 2,
		} {
			if n, ok := got[name]; !ok || n != want {
				t.Errorf("%s is %v, want %v", name, n, want)
			}
		}
		if age, ok := got["edgemem_region_complete_age_seconds,default"]; !ok || age > 5 {
			t.Errorf("complete as of %v s ago, %v", age, ok)
		}
	})
	var all Status
	for i := range 3 * peersInMetrics {
		all.Nodes = append(all.Nodes, NodeStatus{ID: crdt.NodeID(fmt.Sprint(i)), Lag: &NodeLag{Writes: uint64(i)}})
	}
	ch := make(chan prometheus.Metric, 5*peersInMetrics)
	all.collectNodes(ch)
	if n := len(ch); n != 4*peersInMetrics+4 {
		t.Errorf("%d series of members", n)
	}
}

// memory is a transport that remembers a member from before this process.
type memory struct {
	*MeshNode
	last time.Time
}

func (m memory) Met(fn func(id crdt.NodeID, name, tier string, last time.Time)) {
	fn("core", "the core", "cloud", m.last)
	fn("stranger", "never seen", "edge", time.Time{})
}

// A core member that was connected before a restart holds ghosts after it, and is dark until it is heard of.
func TestMembersAreRememberedOverARestart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		last := time.Now().Add(-time.Hour)
		f, err := Open(t.Context(), Config{Name: "a", Tier: "edge", Transport: memory{m.Node("a"), last}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		r := region(t, f, "default")
		churn(t, r, 10)
		time.Sleep(2 * DarkAfter)
		if n := r.status().Ghosts; n != 10 {
			t.Errorf("%d ghosts", n)
		}
		if c := r.status().Complete; !slices.Equal(c.Dark, []crdt.NodeID{"core", "stranger"}) || !c.UpTo.IsZero() {
			t.Errorf("complete: %+v", c)
		}
		nodes := f.Nodes()
		if len(nodes) != 3 || nodes[1].Name != "never seen" || nodes[2].Name != "the core" || !nodes[2].LastHeard.Equal(last) || !nodes[2].Dark {
			t.Errorf("nodes: %+v", nodes)
		}
		if _, err := f.RetireNode(t.Context(), "the core", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := r.status().Ghosts; n != 0 {
			t.Errorf("%d ghosts after the core was retired", n)
		}
	})
}

// What stands in records comes from elsewhere.
func FuzzRecords(f *testing.F) {
	f.Add(claim{crdt.Origin{1}, time.UnixMilli(5)}.encode())
	f.Add(Retirement{At: time.UnixMilli(7), By: "me", last: crdt.Origin{2}}.encode())
	f.Add(encodeNote(time.UnixMilli(9), "a\x1b[31m detail"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := parseClaim(b); ok {
			if again, ok := parseClaim(c.encode()); !ok || again.origin != c.origin || !again.since.Equal(c.since) {
				t.Errorf("claim %+v is read as %+v", c, again)
			}
		}
		if r := parseRetirement(b); r != nil {
			if again := parseRetirement(r.encode()); again == nil || again.last != r.last || again.By != r.By {
				t.Errorf("retirement %+v is read as %+v", r, again)
			}
		}
		if _, text, _ := parseNote(b); len(text) > nodeTextMax || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("%q is shown", text)
		}
	})
}
