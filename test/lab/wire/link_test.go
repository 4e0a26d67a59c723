package wire

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestDelayAndJitterKeepTheOrder(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b"}, func(b *bench) {
		b.set("a", "b", Condition{Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond})
		const n, pause = 1000, time.Millisecond
		b.sendMany("a", 2, 1, n, pause)
		got := b.cables["b"].take()
		if len(got) != n || !slices.IsSorted(numbers(got)) {
			t.Fatalf("%d of %d frames came, in order: %v", len(got), n, slices.IsSorted(numbers(got)))
		}
		spread := map[time.Duration]bool{}
		for i, a := range got {
			took := a.at - time.Duration(i)*pause
			if took < 10*time.Millisecond || took > 30*time.Millisecond {
				t.Errorf("frame %d took %v, want 10 to 30 ms", i+1, took)
			}
			spread[took.Truncate(time.Millisecond)] = true
		}
		if len(spread) < 10 {
			t.Errorf("delays fell into %d milliseconds: that is no jitter", len(spread))
		}
	})
}

func TestLossAndCopiesComeAsOftenAsTheyShould(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b"}, func(b *bench) {
		b.set("a", "b", Condition{Loss: 0.1, Duplicate: 0.2})
		const n = 10_000
		b.sendMany("a", 2, 1, n, 0)
		st := b.stats("a", "b")
		if st.Sent != n || st.Lost < 850 || st.Lost > 1150 {
			t.Errorf("of %d frames %d were lost, want about 1000", st.Sent, st.Lost)
		}
		if st.Duplicated < 1600 || st.Duplicated > 2000 {
			t.Errorf("%d of %d frames came twice, want about 1800", st.Duplicated, n-st.Lost)
		}
		if came := uint64(len(b.cables["b"].take())); came != n-st.Lost+st.Duplicated {
			t.Errorf("%d frames came, want %d", came, n-st.Lost+st.Duplicated)
		}
	})
}

func TestReorderedFramesAreOvertaken(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b"}, func(b *bench) {
		b.set("a", "b", Condition{Delay: 5 * time.Millisecond, Reorder: 0.1})
		const n = 1000
		b.sendMany("a", 2, 1, n, time.Millisecond)
		got := numbers(b.cables["b"].take())
		late, highest := 0, 0
		for _, x := range got {
			if x < highest {
				late++
			}
			highest = max(highest, x)
		}
		st := b.stats("a", "b")
		if len(got) != n || st.Reordered < 60 || st.Reordered > 140 || uint64(late) != st.Reordered {
			t.Errorf("%d frames came, %d of them late, %d reordered; want %d and about 100", len(got), late, st.Reordered, n)
		}
	})
}

func TestTheBucketLetsABurstThroughAndThenTheRate(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b"}, func(b *bench) {
		b.set("a", "b", Condition{RateBytes: 100 * frameSize, BurstBytes: 10 * frameSize, QueueBytes: 50 * frameSize})
		const n = 100 // 10 pass at once, one is on its way, 50 wait, 39 find no room
		b.sendMany("a", 2, 1, n, 0)
		got := b.cables["b"].take()
		if st := b.stats("a", "b"); len(got) != 61 || st.Dropped != 39 {
			t.Fatalf("%d frames came, %d were dropped; want 61 and 39", len(got), st.Dropped)
		}
		if at := got[9].at; at != 0 {
			t.Errorf("the burst came at %v, want at once", at)
		}
		if first, last := got[11].at, got[60].at; last-first != 490*time.Millisecond {
			t.Errorf("49 frames at 100 a second took %v", last-first)
		}
		b.sendMany("a", 2, 1, 1, 0) // after a minute of silence
		if again := b.cables["b"].take(); len(again) != 1 || again[0].at != time.Minute {
			t.Errorf("after a silence came %v, want one frame at once", again)
		}
	})
}

func TestFramesUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b"}, func(b *bench) {
		b.set("a", "b", Condition{Delay: time.Second})
		b.sendMany("a", 2, 1, framesMax+10, 0)
		if st, got := b.stats("a", "b"), len(b.cables["b"].take()); got != framesMax || st.Dropped != 10 {
			t.Errorf("%d frames came, %d were dropped; want %d and 10", got, st.Dropped, framesMax)
		}
	})
}

var weather = Condition{Delay: 3 * time.Millisecond, Jitter: 9 * time.Millisecond, Loss: 0.05, Duplicate: 0.05, Reorder: 0.05}

// schedule is what a link under the weather does to a thousand frames.
func schedule(t *testing.T, seed uint64, before func(*bench)) (got []arrival) {
	inBubble(t, seed, []string{"a", "b", "c"}, func(b *bench) {
		before(b)
		b.set("a", "b", weather)
		b.sendMany("a", 2, 1, 1000, time.Millisecond)
		got = b.cables["b"].take()
	})
	return got
}

func TestASeedReplaysALink(t *testing.T) {
	t.Parallel()
	first := schedule(t, 7, func(*bench) {})
	again := schedule(t, 7, func(b *bench) {
		b.set("c", "b", weather)
		b.send("c", frame(2, 3, 1), frame(1, 3, 1)) // what other links carry changes nothing
		b.cables["b"].take()
	})
	again = slices.DeleteFunc(again, func(a arrival) bool { return a.frame[11] == 3 })
	if fmt.Sprint(first) != fmt.Sprint(again) {
		t.Error("the same seed did two different things to the same frames")
	}
	if fmt.Sprint(first) == fmt.Sprint(schedule(t, 8, func(*bench) {})) {
		t.Error("two seeds did the same")
	}
}

func TestConditionsDoNotMoveTheDice(t *testing.T) {
	t.Parallel()
	lost := func(c Condition) (missing []int) {
		inBubble(t, 3, []string{"a", "b"}, func(b *bench) {
			b.set("a", "b", c)
			b.sendMany("a", 2, 1, 1000, time.Millisecond)
			came := numbers(b.cables["b"].take())
			for i := range 1000 {
				if !slices.Contains(came, i+1) {
					missing = append(missing, i+1)
				}
			}
		})
		return missing
	}
	few, more := lost(Condition{Loss: 0.01}), lost(Condition{Loss: 0.05, Duplicate: 0.5, Reorder: 0.5, Jitter: time.Second})
	for _, n := range few {
		if !slices.Contains(more, n) {
			t.Errorf("frame %d is lost at 1%% and not at 5%%", n)
		}
	}
	if len(few) == 0 || len(more) <= len(few) {
		t.Errorf("%d lost at 1%%, %d at 5%%", len(few), len(more))
	}
}

func TestConditionsReadWell(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Condition{
		"perfect": {}, "cut": {Delay: time.Second, Cut: true},
		"3ms+9ms, loss 5%, duplicates 5%, reordered 5%": weather,
		"64 kB/s": {RateBytes: 64_000},
	} {
		if got := c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
