package fabric

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// A watch tells a key that expired here from one that somebody removed.
func TestWatchTellsWhatExpired(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		f, err := Open(t.Context(), Config{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.Region(DefaultRegion)
		if err != nil {
			t.Fatal(err)
		}
		var got []WatchEvent
		done := make(chan bool)
		events := r.Watch(t.Context(), "")
		go func() {
			defer close(done)
			for ev, err := range events {
				if err != nil {
					return
				}
				got = append(got, ev)
			}
		}()
		for _, write := range []func(tx *crdt.Tx){
			func(tx *crdt.Tx) { tx.Set("k", nil, false); tx.Expire("k", tx.Now()+1500) },
			func(tx *crdt.Tx) { tx.Set("l", nil, false) },
			func(tx *crdt.Tx) { tx.Del("l") },
		} {
			if err := r.Update(t.Context(), func(tx *crdt.Tx) error { write(tx); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		<-done
		want := []WatchEvent{
			{Key: "k", Kind: crdt.KindString, Local: true}, {Key: "l", Kind: crdt.KindString, Local: true}, {Key: "l", Local: true}, {Key: "k", Swept: true},
		}
		if len(got) != len(want) {
			t.Fatalf("%+v", got)
		}
		for i := range want {
			if i > 0 && got[i].As <= got[i-1].As {
				t.Errorf("event %d is as of %d, the one before of %d", i, got[i].As, got[i-1].As)
			}
			want[i].As = got[i].As
			if got[i] != want[i] {
				t.Errorf("event %d is %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}
