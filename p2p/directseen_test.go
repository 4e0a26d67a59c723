package p2p

import (
	"encoding/binary"
	"testing"
	"time"
)

func TestSeenRemembers(t *testing.T) {
	t.Parallel()
	var s seen
	now := time.Unix(1_800_000_000, 0)
	id := idOf([]byte("a frame"))
	if !s.first(id, now) || s.first(id, now) {
		t.Error("the first is not the only first")
	}
	if s.first(id, now.Add(seenFor)) {
		t.Error("forgotten within the time")
	}
	if !s.first(id, now.Add(2*seenFor)) {
		t.Error("remembered for more than two times")
	}
}

func TestSeenIsBounded(t *testing.T) {
	t.Parallel()
	var s seen
	now := time.Unix(1_800_000_000, 0)
	for i := range uint64(3 * seenMax) {
		var id frameID
		binary.BigEndian.PutUint64(id[:], i)
		if !s.first(id, now) {
			t.Fatalf("id %d is not new", i)
		}
		if s.first(id, now) {
			t.Fatalf("id %d is forgotten at once", i)
		}
	}
	if n := len(s.young) + len(s.old); n > 2*seenMax {
		t.Errorf("%d ids", n)
	}
}
