package persist_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/edgemem/edgemem/persist"
)

// TestRoom moves the free space up and down: what is refused, what goes on, and that the edge does not flicker.
func TestRoom(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(1 << 30)
	const floor = 16 << 20
	config := persist.WithFree(persist.Config{Dir: t.TempDir(), MinFreeBytes: floor, MemtableBytes: 1 << 20},
		func(string) (int64, error) { return free.Load(), nil })
	s := openStore(t, config)
	for _, c := range []struct {
		free         int64
		room, commit bool
	}{
		{floor, true, true}, {floor - 1, false, false}, {floor, false, true}, {floor + floor/8 - 1, false, true}, {floor + floor/8, true, true}, {floor, true, true},
	} {
		free.Store(c.free)
		room, commit := s.Room(), s.Commit(one("k", "v"))
		if (room == nil) != c.room || (commit == nil) != c.commit {
			t.Errorf("%d bytes free: room %v, commit %v", c.free, room, commit)
		}
		var full *persist.FullError
		if room != nil && (!errors.As(room, &full) || full.Free != c.free || !errors.Is(room, persist.ErrFull)) {
			t.Errorf("%d bytes free: %v, want a FullError", c.free, room)
		}
	}
	free.Store(floor / 4)
	if _, err := s.NewIncarnation(t.Context(), "node", 0); err != nil {
		t.Errorf("a start on a full disk: %v", err)
	}
	free.Store(floor / 2)
	if _, err := s.Checkpoint(t.Context()); err != nil {
		t.Errorf("a checkpoint on a full disk: %v", err)
	}
	free.Store(floor/4 - 1)
	if _, err := s.NewIncarnation(t.Context(), "node", 0); !errors.Is(err, persist.ErrFull) {
		t.Errorf("a start without room: %v", err)
	}
	free.Store(1 << 30)
}
