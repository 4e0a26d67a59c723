package crdt

import (
	"fmt"
	"testing"
)

// TestTally compares sums in slices of any size with those over all tips, sets of many members and keys with one hash included.
func TestTally(t *testing.T) {
	t.Parallel()
	r := NewRegion(Config{Name: "r", Self: Origin{1}})
	err := r.Update(1, func(tx *Tx) error {
		for i := range 300 {
			tx.Set(fmt.Sprint("k", i), make([]byte, i), false)
			if i%3 == 0 {
				tx.Del(fmt.Sprint("k", i))
			}
			if _, err := tx.SetAdd("set", fmt.Sprint("m", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Tally{}
	r.EachTip(func(x Tip) {
		if x.Tag == TagRemove {
			want.Ghosts++
			return
		}
		want.Live++
		want.Bytes += int64(len(x.Key) + len(x.Sub) + len(x.Value))
	})
	if want.Live < 500 || want.Ghosts < 100 {
		t.Fatalf("the region holds %+v", want)
	}
	for _, most := range []int{1, 7, 100, 1 << 20} {
		by, steps := map[Origin]*Tally{}, 0
		for p := (Place{}); !p.Over(); steps++ {
			p = r.TallyFrom(p, most, by)
		}
		if len(by) != 1 || *by[Origin{1}] != want {
			t.Errorf("in slices of %d: %+v, want %+v", most, by[Origin{1}], want)
		}
		if cells := want.Live + want.Ghosts; steps < cells/most/2 || steps > cells/most+2 {
			t.Errorf("in slices of %d it takes %d steps", most, steps)
		}
	}
	var held, free int64
	for _, c := range r.SlotClasses() {
		held, free = held+c.Bytes, free+c.FreeBytes
		if c.Used > c.Slots || c.FreeBytes < 0 {
			t.Errorf("class %+v", c)
		}
	}
	if f := r.Memory(); held-free != r.InUse() || free != f.Slack {
		t.Errorf("classes hold %d bytes, %d of them free; the region says %d in use and %d free", held, free, r.InUse(), f.Slack)
	}
}
