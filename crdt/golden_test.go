package crdt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// golden is one message that this version must write to the byte, and read.
type golden struct {
	name    string
	comment string
	msg     []byte
}

// goldenWrites makes the past that the golden messages come from: fixed origins, fixed times, every type.
func goldenWrites(t *testing.T) (a, b *Region) {
	t.Helper()
	a = NewRegion(Config{Name: "golden", Self: Origin{0xa}, Push: true})
	b = NewRegion(Config{Name: "golden", Self: Origin{0xb}, Push: true})
	update(t, b, func(tx *Tx) error {
		tx.Set("gone", []byte("x"), false)
		_, err := tx.Incr("hits", 40)
		return err
	})
	pullAll(t, a, b, 1<<16)
	update(t, a, func(tx *Tx) error {
		tx.Set("name", []byte("first"), false)
		tx.Set("name", []byte("edge"), false) // folded
		tx.Del("gone")
		tx.Expire("name", testNow+60_000)
		if _, err := tx.Incr("hits", 2); err != nil {
			return err
		}
		if _, err := tx.IncrFloat("load", "0.25"); err != nil {
			return err
		}
		for _, m := range []string{"x", "y", "w"} {
			if _, err := tx.SetAdd("tags", m); err != nil {
				return err
			}
		}
		_, err := tx.MapSet("conf", "port", []byte("7379"))
		return err
	})
	return a, b
}

func goldenMessages(t *testing.T) []golden {
	t.Helper()
	a, b := goldenWrites(t)
	out := []golden{{"push", "every type, folded and covering; a's writes 1 to 9", a.TakePush()[0]}}
	update(t, a, func(tx *Tx) error {
		tx.Del("hits") // a reset of b's contribution
		tx.Del("tags") // scoped to one entry
		tx.Flush()
		_, err := tx.SetAdd("tags", "z")
		return err
	})
	out = append(out, golden{"push-scoped", "resets, a removal of one entry, a flush, and an add after it", a.TakePush()[0]})
	update(t, b, func(tx *Tx) error { tx.Set("mine", []byte("b"), false); return nil })
	out = append(out, golden{"hello", "b's context", b.Hello()})
	peer, err := DecodeHello(b.Hello())
	if err != nil {
		t.Fatal(err)
	}
	rc, p := b.NewReceiver(), a.NewPull(peer)
	for i := 0; ; i++ {
		msg := p.Next(1)
		if msg == nil {
			break
		}
		out = append(out, golden{fmt.Sprintf("chunk-%d", i), "what b lacks of a, in chunks as small as can be", msg})
		if err := rc.Merge(msg, testNow); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			out = append(out, golden{"hello-piece", "b in the middle of the pull: its context, and a piece", b.Hello()})
			out = append(out, recordsAsGolden(b.TakeDirty())...)
		}
	}
	return append(out, goldenRecon(t)...)
}

// goldenRecon gives the messages of a reconciliation, of a scrub, and of a causal region.
func goldenRecon(t testing.TB) (out []golden) {
	t.Helper()
	a, b := NewRegion(Config{Name: "golden", Self: testOrigin(1), Push: true, Small: -1}), NewRegion(Config{Name: "golden", Self: testOrigin(2)})
	update(t, a, func(tx *Tx) error {
		tx.Set("stays", []byte("v"), false)
		tx.Set("goes", []byte("v"), false)
		return nil
	})
	pullAll(t, b, a, 1<<20)
	a.SetCausal(true)
	update(t, b, func(tx *Tx) error { tx.Set("before", nil, false); return nil })
	pullAll(t, a, b, 1<<20)
	update(t, a, func(tx *Tx) error { tx.Del("goes"); tx.Set("new", []byte("v"), false); return nil })
	out = append(out, golden{"push-causal", "a removal and a write that come after a write of b", a.TakePush()[0]})
	a.SetCausal(false)
	a.Prune(a.Self(), a.OwnTop())
	out = append(out, golden{"hello-wanting", "b's context, and an entry to be sent first", b.HelloWanting([]uint64{b.EntryHash("new")})})
	rc, p := b.NewReceiver(), a.NewPull(hello(t, b))
	offer := p.Next(100)
	more := binary.AppendUvarint(b.preamble(replyMore), 66)
	if err := p.Reply(more); err != nil {
		t.Fatal(err)
	}
	symbols := p.Next(100)
	bitmaps := b.preamble(replyBitmaps)
	if err := p.Reply(bitmaps); err != nil {
		t.Fatal(err)
	}
	out = append(out, golden{"offer", "a's offer to b, which has not seen a's floor", offer}, golden{"reply-more", "b wants two symbols more", more},
		golden{"symbols", "these", symbols}, golden{"reply-bitmaps", "b wants everything", bitmaps}, golden{"bitmaps", "and gets it", p.Next(100)})
	if err := rc.Merge(offer, testNow); err != nil {
		t.Fatal(err)
	}
	out = append(out, golden{"reply-go", "b knows what is gone", rc.TakeReply()}, golden{"scrub", "a is compared", a.NewScrub().Next()})
	return append(out, goldenBack(t, a, b)...)
}

// goldenBack goes on with a reconciliation in the narrow form, in which b gives back what a lacks.
func goldenBack(t testing.TB, a, b *Region) []golden {
	t.Helper()
	update(t, b, func(tx *Tx) error { tx.Del("stays"); tx.Set("of b", []byte("v"), false); return nil })
	b.Prune(b.Self(), b.OwnTop())
	rc, p := b.NewReceiver(), a.NewPull(hello(t, b))
	p.BothWays()
	offer := p.Next(100)
	if err := rc.Merge(offer, testNow); err != nil {
		t.Fatal(err)
	}
	reply, chunk := rc.TakeReply(), rc.TakeBack().Next(1<<20)
	if err := p.Reply(binary.AppendUvarint(b.preamble(replyMore), 66)); err != nil {
		t.Fatal(err)
	}
	return []golden{{"offer-narrow", "a's offer to b, which asks for what b has", offer}, {"symbols-narrow", "two symbols more", p.Next(100)},
		{"reply-back", "b knows what is gone on either side", reply}, {"chunk-back", "and gives back what it has", chunk}}
}

func recordsAsGolden(recs []Record) (out []golden) {
	slices.SortFunc(recs, func(x, y Record) int { return bytes.Compare(x.Key, y.Key) })
	for i, rec := range recs {
		out = append(out, golden{fmt.Sprintf("record-%d", i), fmt.Sprintf("b's image in the middle of the pull; key %x", rec.Key), rec.Value})
	}
	return out
}

// TestGolden: today's code writes exactly the bytes that were agreed on. Who changes them changes the wire or the
// disk: then wireVersion must change as well, and the old files must still be read.
func TestGolden(t *testing.T) {
	t.Parallel()
	msgs := goldenMessages(t)
	if *updateGolden {
		old, _ := filepath.Glob("testdata/golden/*.txt")
		for _, name := range old {
			_ = os.Remove(name)
		}
		for _, g := range msgs {
			if err := os.WriteFile(g.path(), []byte(g.text()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) != len(msgs) {
		t.Errorf("%d golden files for %d messages, %v", len(files), len(msgs), err)
	}
	for _, g := range msgs {
		want, err := os.ReadFile(g.path())
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != g.text() {
			t.Errorf("%s: this version writes\n%s", g.path(), g.text())
		}
	}
}

// TestGoldenReads merges the files, not what today's code writes, and looks at the outcome.
func TestGoldenReads(t *testing.T) {
	t.Parallel()
	_, b := goldenWrites(t)
	for _, name := range []string{"push", "push-scoped"} {
		if gap, err := b.Push(goldenFile(t, name), testNow); gap || err != nil {
			t.Fatalf("%s: gap %v, %v", name, gap, err)
		}
		if name == "push" {
			wantShown(t, b, "name=edge hits=42 load=0.25 conf.port=7379 tags=xy")
		}
	}
	wantShown(t, b, "name= hits= load= conf.port= tags=z")

	_, b = goldenWrites(t)
	update(t, b, func(tx *Tx) error { tx.Set("mine", []byte("b"), false); return nil })
	rc := b.NewReceiver()
	for i := 0; !rc.Done(); i++ {
		if err := rc.Merge(goldenFile(t, fmt.Sprintf("chunk-%d", i)), testNow); err != nil {
			t.Fatal(err)
		}
	}
	wantShown(t, b, "name= hits= load= conf.port= tags=z")
	mustAudit(t, b)

	if seen, err := DecodeHello(goldenFile(t, "hello-piece")); err != nil || len(seen.pieces) != 1 {
		t.Fatalf("%+v %v", seen, err)
	}
	goldenRecords(t)
}

func goldenRecords(t *testing.T) {
	t.Helper()
	r := NewRegion(Config{Name: "golden", Self: Origin{0xc}})
	for i := 0; ; i++ {
		text, err := os.ReadFile(fmt.Sprintf("testdata/golden/record-%d.txt", i))
		if err != nil {
			break
		}
		_, rest, _ := strings.Cut(string(text), "key ")
		key, _ := hex.DecodeString(strings.Fields(rest)[0])
		if err := r.Load(Record{key, goldenFile(t, fmt.Sprintf("record-%d", i))}); err != nil {
			t.Fatal(err)
		}
	}
	r.Loaded(testNow)
	mustAudit(t, r)
	if v, ok, _ := r.View(testNow).Get("mine"); !ok || string(v) != "b" || r.Pieces() != 1 {
		t.Fatalf("%q %v, %d pieces", v, ok, r.Pieces())
	}
}

func wantShown(t *testing.T, r *Region, want string) {
	t.Helper()
	v := r.View(testNow)
	get := func(key string) string { b, _, _ := v.Get(key); return string(b) }
	port, _, _ := v.MapGet("conf", "port")
	tags := ""
	for _, m := range []string{"x", "y", "z"} {
		if ok, _ := v.SetHas("tags", m); ok {
			tags += m
		}
	}
	got := fmt.Sprintf("name=%s hits=%s load=%s conf.port=%s tags=%s", get("name"), get("hits"), get("load"), port, tags)
	if got != want {
		t.Errorf("shows %s, want %s", got, want)
	}
}

func (g golden) path() string { return "testdata/golden/" + g.name + ".txt" }

func (g golden) text() string {
	s := "# " + g.comment + "\n"
	for line := range slices.Chunk(g.msg, 32) {
		s += hex.EncodeToString(line) + "\n"
	}
	return s
}

func goldenFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/golden/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "\n")
	msg, err := hex.DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return msg
}
