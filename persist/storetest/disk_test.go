package storetest_test

import (
	"errors"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
	"github.com/edgemem/edgemem/persist/storetest"
)

func TestDiskConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Place { return new(storetest.Disk) })
}

func batch(keys ...string) (recs []crdt.Record) {
	for _, k := range keys {
		recs = append(recs, crdt.Record{Key: []byte(k), Value: []byte("v")})
	}
	return recs
}

func open(t *testing.T, d *storetest.Disk) storetest.Store {
	t.Helper()
	s, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keys(t *testing.T, s storetest.Store) (list string) {
	t.Helper()
	if err := s.Load(func(key, _ []byte) error { list += string(key); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRefusedCommitsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	d := new(storetest.Disk)
	s := open(t, d)
	d.Refuse(persist.ErrFull)
	d.Refuse(persist.ErrFull)
	for range 2 {
		if err := s.Commit(batch("a")); !errors.Is(err, persist.ErrFull) {
			t.Fatalf("commit: %v, want ErrFull", err)
		}
	}
	if err := s.Commit(batch("b")); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, s); got != "b" {
		t.Errorf("keys %q, want b", got)
	}
}

func TestFailedSyncEndsTheStore(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		d := new(storetest.Disk)
		s := open(t, d)
		d.FailSync(errors.New("input/output error"), kept)
		for range 2 {
			if err := s.Commit(batch("a", "b")); !errors.Is(err, persist.ErrFailed) {
				t.Fatalf("commit: %v, want ErrFailed", err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "ab"}[kept]
		if got := keys(t, open(t, d)); got != want {
			t.Errorf("kept %v: keys %q, want %q", kept, got, want)
		}
	}
}

func TestCrashForgetsCommitsUnderWay(t *testing.T) {
	t.Parallel()
	d := new(storetest.Disk)
	s := open(t, d)
	if err := s.Commit(batch("a")); err != nil {
		t.Fatal(err)
	}
	d.Hold()
	result := make(chan error, 1)
	go func() { result <- s.Commit(batch("b")) }()
	if err := d.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, persist.ErrClosed) {
		t.Errorf("commit under way: %v, want ErrClosed", err)
	}
	if got := keys(t, open(t, d)); got != "a" {
		t.Errorf("keys %q, want a", got)
	}
}

func TestHeldCommitGoesOnWhenReleased(t *testing.T) {
	t.Parallel()
	d := new(storetest.Disk)
	s := open(t, d)
	release := d.Hold()
	result := make(chan error, 1)
	go func() { result <- s.Commit(batch("a")) }()
	release()
	release()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if got := keys(t, s); got != "a" {
		t.Errorf("keys %q, want a", got)
	}
}
