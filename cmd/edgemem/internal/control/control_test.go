package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/doctor"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/unixsock"
	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// TestMain lets net/http linger half a second on a connection whose request it did not read to its end.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).serve"))
}

// fake is a daemon of one region called "default", with strings only.
type fake struct {
	values map[string]string
	events []Event
	end    error // what the watch, the backup and the checkpoint end with
	backup string
	hang   chan struct{}
}

func (f *fake) Status() Status {
	if f.hang != nil {
		<-f.hang
	}
	return Status{Node: Node{Name: "fake", Ready: true}, Peers: []Peer{}, Regions: []Region{RegionOf(gapped())}}
}

// gapped is a status with a hole in its context, which JSON must carry there and back.
func gapped() fabric.RegionStatus {
	return fabric.RegionStatus{Name: "default", Context: crdt.Context{
		crdt.Origin{1}: crdt.Runs{Base: 3, Above: []crdt.Span{{Lo: 5, Hi: 9}}},
	}}
}

func (f *fake) Invite(ttl time.Duration, uses int) (Invitation, error) {
	return Invitation{Ticket: fmt.Sprint(ttl, uses)}, nil
}
func (f *fake) SetOffline(_ context.Context, offline bool) error { return nil }
func (f *fake) RetireNode(_ context.Context, node string, how Retire) (string, error) {
	if node == "nobody" {
		return "", fmt.Errorf("%w: no such node", ErrNotFound)
	}
	return fmt.Sprint("id of ", node, " ", how.Force, how.Undo), nil
}
func (f *fake) Scrub(_ context.Context, region string) (ScrubReport, error) {
	return ScrubReport{Findings: []fabric.ScrubFinding{{Region: region}}}, nil
}
func (f *fake) Backup(_ context.Context, w io.Writer, o BackupOptions) (rep BackupReport, err error) {
	if f.backup == "" {
		return rep, fmt.Errorf("%w: nothing to back up", ErrInvalid)
	}
	n, err := io.WriteString(w, f.backup)
	rep.Stored, rep.Encrypted = int64(n), !o.Plain
	return rep, errors.Join(err, f.end)
}
func (f *fake) Checkpoint(context.Context) (Checkpoint, error) { return Checkpoint{Commit: 7}, f.end }
func (f *fake) Doctor(context.Context) (*doctor.Report, error) {
	return &doctor.Report{Running: true, Degraded: true}, nil
}
func (f *fake) ClearAlarms(_ context.Context, kind, node string) (int, error) {
	return len(kind + node), nil
}
func (f *fake) CreateRegion(_ context.Context, name string, o RegionOptions) (Region, error) {
	return Region{}, fmt.Errorf("%w: region %q", ErrInvalid, name)
}
func (f *fake) ShowRegion(name string) (Region, error) {
	return Region{}, fmt.Errorf("%w: region %q", ErrNotFound, name)
}
func (f *fake) RegionUsage(_ context.Context, name string) (RegionUsage, error) {
	return RegionUsage{Name: name, DiskRecords: 3}, nil
}
func (f *fake) DeleteRegion(_ context.Context, name string) error { return errors.New("no " + name) }
func (f *fake) Get(_ context.Context, region, key string) (Entry, error) {
	v, ok := f.values[key]
	if !ok {
		return Entry{}, fmt.Errorf("%w: %q", ErrNotFound, key)
	}
	return Entry{Region: region, Key: key, Kind: "string", Encoding: "utf-8", Value: &v}, nil
}
func (f *fake) Set(_ context.Context, _, key string, value []byte) error {
	f.values[key] = string(value)
	return nil
}
func (f *fake) ExplainRegion(_ context.Context, name string, try *RegionOptions) (Explanation, error) {
	return Explanation{Region: name, MinCopies: try.MinCopies}, nil
}
func (f *fake) MoveCopy(_ context.Context, name string, give bool) (Region, error) {
	return Region{}, fmt.Errorf("no copy of %s, give %v", name, give)
}

func (f *fake) Delete(_ context.Context, _ string, keys []string) (n int, err error) {
	for _, k := range keys {
		if _, ok := f.values[k]; ok {
			n++
		}
		delete(f.values, k)
	}
	return n, nil
}
func (f *fake) Lease(_ context.Context, _, name string, call LeaseCall) (Lease, error) {
	if call.Do == "acquire" && name == "held" {
		return Lease{}, fmt.Errorf("%w: by ann", ErrHeld)
	}
	return Lease{Held: true, Token: call.Token, LeftMs: call.TTLMs}, nil
}

func (f *fake) Voters() Voters { return Voters{Voters: []Voter{}} }

func (f *fake) SetVoters(context.Context, []string) (Voters, error) {
	return Voters{}, fmt.Errorf("%w: 1 of 3", ErrNoMajority)
}

func (f *fake) Increment(_ context.Context, _, _ string, by int64) (int64, error) { return by, nil }
func (f *fake) Watch(context.Context, string, string) (iter.Seq2[Event, error], error) {
	return func(yield func(Event, error) bool) {
		for _, ev := range f.events {
			if !yield(ev, nil) {
				return
			}
		}
		yield(Event{}, f.end)
	}, nil
}

func serve(t *testing.T, f *fake) *Client {
	t.Helper()
	dir := t.TempDir()
	l, err := unixsock.Listen(filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(l, f, slog.New(slog.DiscardHandler))
	c := NewClient(dir)
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestValuesAndKeysOfAnyBytes(t *testing.T) {
	t.Parallel()
	f := &fake{values: map[string]string{}}
	c := serve(t, f)
	key, value := "a/b?c=d&\x00\xff é", bytes.Repeat([]byte{0, 0xff, '\n'}, 1000)
	if err := c.Set(t.Context(), "r/e g?", key, value); err != nil {
		t.Fatal(err)
	}
	if f.values[key] != string(value) {
		t.Fatalf("the daemon got %d keys, not this one", len(f.values))
	}
	if n, err := c.Delete(t.Context(), "default", []string{key, "absent"}); err != nil || n != 1 {
		t.Fatalf("deleted %d, %v", n, err)
	}
	long := strings.Repeat("k", crdt.MaxKeyBytes)
	if err := c.Set(t.Context(), "default", long, nil); err != nil {
		t.Fatalf("the longest key: %v", err)
	}
}

func TestAStatusWithGapsComesBackWhole(t *testing.T) {
	t.Parallel()
	c := serve(t, &fake{})
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Runs{"01" + strings.Repeat("00", 15): {Base: 3, Above: [][2]uint64{{5, 9}}}}
	if got := s.Regions[0].Context; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestErrorsKeepTheirKindAcrossTheSocket(t *testing.T) {
	t.Parallel()
	c := serve(t, &fake{})
	ctx := t.Context()
	_, notFound := c.Get(ctx, "default", "k")
	_, noRegion := c.ShowRegion(ctx, "none")
	_, invalid := c.CreateRegion(ctx, "x y", RegionOptions{Ack: "disk"})
	_, badTTL := c.Invite(ctx, -1, 1)
	tooLarge := c.Set(ctx, "default", "k", make([]byte, crdt.MaxValueBytes+1))
	for name, e := range map[string]struct{ got, want error }{
		"absent key": {notFound, ErrNotFound}, "absent region": {noRegion, ErrNotFound}, "bad name": {invalid, ErrInvalid},
		"bad ttl": {badTTL, ErrInvalid}, "large value": {tooLarge, ErrInvalid},
	} {
		if !errors.Is(e.got, e.want) {
			t.Errorf("%s: got %v, want %v", name, e.got, e.want)
		}
	}
	if err := c.DeleteRegion(ctx, "x"); err == nil || err.Error() != "no x" || errors.Is(err, ErrNotFound) {
		t.Errorf("plain failure: %v", err)
	}
}

func TestWatchEndsWithTheDaemonsError(t *testing.T) {
	t.Parallel()
	want := []Event{{Region: "default", Key: "a", Kind: "string"}, {Region: "default", Key: "b", Kind: "none", Local: true}}
	c := serve(t, &fake{events: want, end: errors.New("watcher fell behind")})
	events, err := c.Watch(t.Context(), "default", "")
	if err != nil {
		t.Fatal(err)
	}
	var got []Event
	var last error
	for ev, err := range events {
		if last = err; err == nil {
			got = append(got, ev)
		}
	}
	if !reflect.DeepEqual(got, want) || last == nil || last.Error() != "watcher fell behind" {
		t.Fatalf("got %v, %v", got, last)
	}
}

func TestNoDaemonIsUnreachable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := NewClient(dir).Status(t.Context())
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "http://") {
		t.Fatalf("got %v", err)
	}
}

func TestAHangingDaemonDoesNotHoldTheCaller(t *testing.T) {
	t.Parallel()
	f := &fake{hang: make(chan struct{})}
	c := serve(t, f)
	t.Cleanup(func() { close(f.hang) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.WaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestNodesAreRetiredAndAlarmsCleared(t *testing.T) {
	t.Parallel()
	c := serve(t, &fake{})
	if id, err := c.RetireNode(t.Context(), "a/b c", Retire{Force: true}); id != "id of a/b c true false" || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
	if _, err := c.RetireNode(t.Context(), "nobody", Retire{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if rep, err := c.Scrub(t.Context(), "r/1"); err != nil || len(rep.Findings) != 1 || rep.Findings[0].Region != "r/1" {
		t.Errorf("got %+v, %v", rep, err)
	}
	if n, err := c.ClearAlarms(t.Context(), "clone", "a&b"); n != len("clonea&b") || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestLeasesOverTheSocket(t *testing.T) {
	c := serve(t, &fake{})
	x, err := c.Lease(t.Context(), "shop", "a/b c", LeaseCall{Do: "renew", Token: 7, TTLMs: 1000})
	if err != nil || x != (Lease{Held: true, Token: 7, LeftMs: 1000}) {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := c.Lease(t.Context(), "shop", "held", LeaseCall{Do: "acquire"}); !errors.Is(err, ErrHeld) {
		t.Error(err)
	}
	if _, err := c.SetVoters(t.Context(), []string{"a"}); !errors.Is(err, ErrNoMajority) {
		t.Error(err)
	}
	if v, err := c.Voters(t.Context()); err != nil || v.Voters == nil {
		t.Errorf("%+v, %v", v, err)
	}
}
