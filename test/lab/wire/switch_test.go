package wire

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestAddressesAreLearnt(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b", "c"}, func(b *bench) {
		b.send("a", frame(2, 1, 7))
		if got := numbers(b.cables["b"].take()); !slices.Equal(got, []int{7}) {
			t.Errorf("b got %v, want 7", got)
		}
		if got := b.cables["c"].take(); len(got) != 0 {
			t.Errorf("c got what was for b: %v", numbers(got))
		}
		b.send("a", frame(9, 1, 8), frame(everyone, 1, 9))
		for _, name := range []string{"b", "c"} {
			if got := numbers(b.cables[name].take()); !slices.Equal(got, []int{8, 9}) {
				t.Errorf("%s got %v, want what is for everyone and for nobody known", name, got)
			}
		}
		b.send("c", frame(everyone, 2, 10)) // b's address moves
		b.send("a", frame(2, 1, 11))
		if got := numbers(b.cables["c"].take()); !slices.Equal(got, []int{11}) {
			t.Errorf("the address that moved to c got %v, want 11", got)
		}
		b.send("b", frame(1, 3, 12)[:13])
		if b.s.Broken() != 1 {
			t.Error("a frame of 13 bytes was not counted as broken")
		}
	})
}

func TestAFrameForItsOwnPortGoesNowhere(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b"}, func(b *bench) {
		b.send("a", frame(everyone, 9, 1), frame(9, 1, 2))
		if got := numbers(b.cables["b"].take()); !slices.Equal(got, []int{1}) {
			t.Errorf("b got %v, want only what was for everyone", got)
		}
	})
}

func TestTheTableOfAddressesIsBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b"}, func(b *bench) {
		for i := range addressesMax + 100 {
			f := frame(2, 0, 0)
			f[10], f[11] = byte(i>>8), byte(i)
			f[9] = 1
			b.send("a", f)
		}
		if n := len(b.s.where); n != addressesMax {
			t.Errorf("%d addresses are known, want %d", n, addressesMax)
		}
	})
}

func TestCutsAreOneWayAndTakeWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b"}, func(b *bench) {
		b.set("a", "b", Condition{Delay: time.Second})
		b.send("a", frame(2, 1, 1))
		if err := b.s.Cut("a", "b", true); err != nil {
			t.Fatal(err)
		}
		b.send("a", frame(2, 1, 2))
		b.send("b", frame(1, 2, 3))
		time.Sleep(2 * time.Second)
		if got := b.cables["b"].take(); len(got) != 0 {
			t.Errorf("%v passed a cut", numbers(got))
		}
		if got := numbers(b.cables["a"].take()); !slices.Equal(got, []int{3}) {
			t.Errorf("the other direction passed %v, want 3", got)
		}
		if err := b.s.Cut("a", "b", false); err != nil {
			t.Fatal(err)
		}
		b.send("a", frame(2, 1, 4))
		time.Sleep(2 * time.Second)
		if got := b.cables["b"].take(); len(got) != 1 || got[0].at != 3*time.Second {
			t.Errorf("after the cut came %v, want frame 4 with the delay of before", got)
		}
		if st := b.stats("a", "b"); st.Cut != 2 {
			t.Errorf("%d frames were cut, want 2", st.Cut)
		}
	})
}

func TestDetachedPortsAreGone(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b", "c"}, func(b *bench) {
		b.set("a", "b", Condition{Delay: time.Second})
		b.send("a", frame(2, 1, 1))
		if err := b.s.Detach("b"); err != nil {
			t.Fatal(err)
		}
		b.send("a", frame(2, 1, 2)) // now for nobody known: to everyone left
		time.Sleep(time.Minute)
		if got := numbers(b.cables["c"].take()); !slices.Equal(got, []int{2}) {
			t.Errorf("c got %v, want 2", got)
		}
		if got := b.cables["b"].take(); len(got) != 0 {
			t.Errorf("b got %v after it was gone", numbers(got))
		}
		for _, err := range []error{b.s.Detach("b"), b.s.Cut("a", "b", true), b.s.Set("b", "a", Condition{}), b.s.Attach("c", newCable())} {
			if !errors.Is(err, ErrPort) {
				t.Errorf("got %v, want ErrPort", err)
			}
		}
	})
}

func TestBadConditionsAreRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, []string{"a", "b"}, func(b *bench) {
		for _, c := range []Condition{{Loss: 1.1}, {Duplicate: -0.1}, {Delay: -1}, {RateBytes: -1}} {
			if err := b.s.Set("a", "b", c); err == nil {
				t.Errorf("%+v was taken", c)
			}
		}
	})
}
