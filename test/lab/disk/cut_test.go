package disk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// oracle is a file as plain bytes, with all that each sector may hold after a cut.
type oracle struct {
	now, safe []byte
	may       map[int64][][]byte // by sector: what was written there since the last sync, whole sectors
	resized   bool
}

func (o *oracle) write(data []byte, at int64) {
	if grow := at + int64(len(data)) - int64(len(o.now)); grow > 0 {
		o.now = append(o.now, make([]byte, grow)...)
	}
	copy(o.now[at:], data)
	for s := at / sectorBytes; s <= (at+int64(len(data))-1)/sectorBytes; s++ {
		o.may[s] = append(o.may[s], nil)
	}
}

// TestCutKeepsWhatWasSynced writes, resizes and syncs at random and cuts: every sector that was not written since the last sync is as it was
// then, and with nothing written since, all is.
func TestCutKeepsWhatWasSynced(t *testing.T) {
	t.Parallel()
	var sum Report
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		f := newFile()
		o := &oracle{may: map[int64][][]byte{}}
		for range rnd.IntN(40) {
			switch rnd.IntN(6) {
			case 0:
				f.sync()
				o.safe, o.may, o.resized = bytes.Clone(o.now), map[int64][][]byte{}, false
			case 1:
				size := rnd.Int64N(5 * pageBytes)
				f.truncate(size)
				o.now = append(o.now, make([]byte, 5*pageBytes)...)[:size]
				o.resized = true
			default:
				data := make([]byte, 1+rnd.IntN(2*pageBytes))
				for i := range data {
					data[i] = byte(rnd.Uint32())
				}
				at := rnd.Int64N(4 * pageBytes)
				f.write(data, at)
				o.write(data, at)
			}
			if got := contents(f); !bytes.Equal(got, o.now) {
				t.Fatalf("seed %d: a file without a cut holds %d bytes, not %d of ours", seed, len(got), len(o.now))
			}
		}
		var r Report
		f.cut(newFate(rnd), &r)
		sum.Add(r)
		got := contents(f)
		if len(o.may) == 0 && !o.resized && !bytes.Equal(got, o.safe) {
			t.Fatalf("seed %d: a cut changed a file that was synced", seed)
		}
		if o.resized {
			continue // a lost size may show or hide anything beyond it
		}
		if len(got) < len(o.safe) {
			t.Fatalf("seed %d: %d bytes, %d were synced", seed, len(got), len(o.safe))
		}
		for at := int64(0); at < int64(len(o.safe)); at += sectorBytes {
			end := min(at+sectorBytes, int64(len(o.safe)))
			if o.may[at/sectorBytes] == nil && !bytes.Equal(got[at:end], o.safe[at:end]) {
				t.Fatalf("seed %d: the sector at %d was not written since the sync, and differs", seed, at)
			}
		}
	}
	if sum.Kept == 0 || sum.Lost == 0 || sum.Torn == 0 || sum.Flipped == 0 {
		t.Errorf("the cuts were too kind: %v", sum)
	}
}

func contents(f *file) []byte {
	b := make([]byte, f.now.size)
	f.now.read(b, 0)
	return b
}

// TestCutTakesSectors: each sector of an overwrite is the old one or the new one, or differs from the new one in one bit.
func TestCutTakesSectors(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		f := newFile()
		old, young := bytes.Repeat([]byte{1}, 3*pageBytes), bytes.Repeat([]byte{2}, 3*pageBytes)
		f.write(old, 0)
		f.sync()
		f.write(young, 0)
		f.cut(newFate(rand.New(rand.NewPCG(seed, 0))), &Report{})
		got := contents(f)
		for at := 0; at < len(got); at += sectorBytes {
			var other int
			for _, b := range got[at : at+sectorBytes] {
				if b != got[at] && b != 1 && b != 2 {
					other++
				}
			}
			if s := got[at : at+sectorBytes]; !bytes.Equal(s, old[:sectorBytes]) && !bytes.Equal(s, young[:sectorBytes]) && bytes.Count(s, []byte{2}) != sectorBytes-1 {
				t.Fatalf("seed %d: the sector at %d is neither old nor new nor flipped: %v (%d)", seed, at, s[:8], other)
			}
		}
	}
}

// TestCutOfNames: a prefix of what happened in a folder survives, and what was synced does.
func TestCutOfNames(t *testing.T) {
	t.Parallel()
	lost := map[string]int{}
	for seed := range uint64(200) {
		d := New(Options{Strict: seed%2 == 0})
		add := func(name string) *node {
			n := d.newNode(d.root, modeFile)
			d.root.folder.do(move{comes: name, node: n})
			return n
		}
		add("safe")
		if err := d.sync(d.root); err != nil {
			t.Fatal(err)
		}
		first := add("first")
		add("second.new")
		d.root.folder.do(move{comes: "second", node: d.root.folder.names["second.new"], goes: "second.new"})
		if err := d.sync(first); err != nil {
			t.Fatal(err)
		}
		d.root.folder.do(move{goes: "safe"})
		d.Cut(rand.New(rand.NewPCG(seed, 0)))
		names := fmt.Sprint(d.root.folder.sorted())
		lost[names]++
		switch names {
		case "[safe]", "[first second.new]", "[first safe]", "[first safe second.new]", "[first safe second]", "[first second]":
		default:
			t.Fatalf("seed %d: %s", seed, names)
		}
		if names == "[safe]" && !d.o.Strict {
			t.Fatalf("seed %d: a file that was synced has no name", seed)
		}
	}
	if len(lost) < 5 {
		t.Errorf("the cuts were too kind: %v", lost)
	}
}

// TestCutReplays: a seed does the same again.
func TestCutReplays(t *testing.T) {
	t.Parallel()
	run := func() string {
		d := New(Options{})
		for i := range 20 {
			n := d.newNode(d.root, modeFile)
			n.file.write(bytes.Repeat([]byte{byte(i)}, 5000), 0)
			d.root.folder.do(move{comes: fmt.Sprint(i), node: n})
		}
		r := d.Cut(rand.New(rand.NewPCG(6, 6)))
		text := r.String()
		for _, name := range d.root.folder.sorted() {
			text += fmt.Sprint(name, contents(d.root.folder.names[name].file))
		}
		return text
	}
	if a, b := run(), run(); a != b {
		t.Error("two cuts with one seed differ")
	}
}

// TestBacklogIsBounded: what is never synced comes to the disk by itself.
func TestBacklogIsBounded(t *testing.T) {
	t.Parallel()
	f := newFile()
	block := bytes.Repeat([]byte{7}, 1<<20)
	for i := range int64(40) {
		f.write(block, i<<20)
	}
	if f.backlog > backlogBytes {
		t.Errorf("%d bytes wait", f.backlog)
	}
	f.cut(&fate{rnd: rand.New(rand.NewPCG(0, 0))}, &Report{})
	if f.now.size != 40<<20-backlogBytes || !bytes.Equal(contents(f)[:1<<20], block) {
		t.Errorf("%d bytes came to the disk", f.now.size)
	}
}
