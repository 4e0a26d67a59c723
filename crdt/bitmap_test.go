package crdt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// someSeqs makes a set up to top of which about share are in it, in runs of about length.
func someSeqs(rng *rand.Rand, top int, share float64, length int) []Seq {
	var out []Seq
	in := false
	for s := 1; s <= top; s++ {
		if rng.IntN(length) == 0 {
			in = rng.Float64() < share
		}
		if in {
			out = append(out, Seq(s))
		}
	}
	return out
}

func decodeSeqSet(t testing.TB, msg []byte) seqSet {
	t.Helper()
	d := decoder{b: msg}
	s := d.seqSet()
	if err := d.done(); err != nil {
		t.Fatal(err)
	}
	return s
}

// seqsOf reads a whole set.
func seqsOf(s seqSet) []Seq {
	var out []Seq
	for x, ok := s.next(); ok; x, ok = s.next() {
		for n := x.Lo; n <= x.Hi; n++ {
			out = append(out, n)
		}
	}
	return out
}

func TestSeqSetReadsWhatWasWritten(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		seqs := someSeqs(rng, rng.IntN(1<<rng.IntN(13))+1, rng.Float64(), 1+rng.IntN(1<<rng.IntN(6)))
		if rng.IntN(4) == 0 { // far apart, and far up
			for i := range seqs {
				seqs[i] += Seq(i) << rng.IntN(40)
			}
			seqs = slices.DeleteFunc(seqs, func(s Seq) bool { return s > maxSeq })
			slices.Sort(seqs)
			seqs = slices.Compact(seqs)
		}
		msg := appendSeqSet(nil, seqs)
		if got := seqsOf(decodeSeqSet(t, msg)); !slices.Equal(got, seqs) {
			t.Fatalf("seed %d, form %d: read %d numbers of %d", seed, msg[0], len(got), len(seqs))
		}
		s := decodeSeqSet(t, msg)
		for x := Seq(1); x < 9000; x += Seq(rng.IntN(20)) {
			if _, want := slices.BinarySearch(seqs, x); s.has(x) != want {
				t.Fatalf("seed %d, form %d: %d in the set: %v", seed, msg[0], x, !want)
			}
		}
	}
}

// A message in each form, and the largest number that there is.
func TestSeqSetForms(t *testing.T) {
	for _, c := range []struct {
		seqs []Seq
		want string
	}{
		{nil, "00"},
		{[]Seq{maxSeq}, "01018080808080808080400001"},
		{[]Seq{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, "03010109"},
		{[]Seq{7, 7, 7}, "03010700"},
		{[]Seq{5, 6, 9, 100, 101, 200}, "0304050103005b016300"},
	} {
		got := appendSeqSet(nil, slices.Clone(c.seqs))
		c.seqs = slices.Compact(c.seqs)
		if fmt.Sprintf("%x", got) != c.want {
			t.Errorf("%d: %x, want %s", c.seqs, got, c.want)
		}
		if back := seqsOf(decodeSeqSet(t, got)); !slices.Equal(back, c.seqs) {
			t.Errorf("%d: read %d", c.seqs, back)
		}
	}
}

// TestSeqSetSize holds the sizes that the comment names.
func TestSeqSetSize(t *testing.T) {
	const top = 1 << 20
	for _, c := range []struct {
		share  float64
		length int
		form   byte
	}{{0.0001, 1, seqsList}, {0.01, 1, seqsList}, {0.3, 1, seqsList}, {0.7, 1, seqsHoles}, {0.99, 1, seqsHoles}, {0.5, 10_000, seqsRuns}, {1, 1, seqsRuns}} {
		seqs := someSeqs(rand.New(rand.NewPCG(1, 2)), top, c.share, c.length)
		msg := appendSeqSet(nil, seqs)
		n := math.Min(float64(len(seqs)), top-float64(len(seqs)))
		want := n*(2+math.Log2(top/max(n, 1)))/8 + 20
		if c.form == seqsRuns {
			want = 1000
		}
		t.Logf("%7d of %d in runs of %d: form %d, %d bytes, %.2f bits each", len(seqs), top, c.length, msg[0], len(msg), float64(8*len(msg))/float64(len(seqs)))
		if msg[0] != c.form || float64(len(msg)) > want {
			t.Errorf("%d of %d: form %d of %d bytes, want form %d of %.0f", len(seqs), top, msg[0], len(msg), c.form, want)
		}
	}
}

func TestSeqSetRefused(t *testing.T) {
	var seqs []Seq
	for i := range 40 {
		seqs = append(seqs, Seq(100+90*i+i*i%17))
	}
	list := appendSeqSet(nil, seqs)
	if list[0] != seqsList {
		t.Fatalf("form %d", list[0])
	}
	for name, msg := range map[string][]byte{
		"nothing":                  {},
		"unknown form":             {9},
		"empty list":               {seqsList, 0, 1, 0},
		"more numbers than bits":   {seqsList, 100, 1, 0, 1},
		"a list beyond the end":    list[:len(list)-1],
		"a list with bits to come": append(slices.Clone(list[:len(list)-1]), list[len(list)-1]|0x80),
		"a list with a bit less":   append(slices.Clone(list[:len(list)-1]), 0),
		"far apart":                {seqsList, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1},
		"holes outside":            {seqsHoles, 5, 3, 1, 9, 0, 1},
		"hole at the end":          {seqsHoles, 5, 3, 1, 8, 0, 1},
		"runs that touch":          {seqsRuns, 2, 1, 4, 1, 4},
		"run of nothing":           {seqsRuns, 1, 0, 4},
		"runs beyond the end":      {seqsRuns, 2, 1, 4},
	} {
		d := decoder{b: msg}
		s := d.seqSet()
		wantTold(t, d.err)
		if _, ok := s.next(); d.done() == nil || ok {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzBitmap(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, seqs := range [][]Seq{nil, {1}, {9, 70, 4000}, someSeqs(rng, 200, 0.3, 1), someSeqs(rng, 200, 0.8, 1), someSeqs(rng, 300, 0.5, 30)} {
		f.Add(appendSeqSet(nil, seqs))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		d := decoder{b: msg}
		set := d.seqSet()
		wantTold(t, d.err)
		var spans []Span
		last, steps := Seq(0), 0
		for s, x := set, set; ; steps++ {
			span, ok := s.next()
			if !ok {
				break
			}
			if span.Lo <= last || span.Hi < span.Lo || span.Hi > maxSeq {
				t.Fatalf("%d behind %d", span, last)
			}
			if !x.has(span.Lo) || !x.has(span.Hi) {
				t.Fatalf("%d is given and not there", span)
			}
			last = span.Hi
			spans = append(spans, span)
		}
		if d.err != nil && steps > 0 {
			t.Fatalf("%d runs in a set that was refused", steps)
		}
		if steps > 8*len(msg)+1 {
			t.Fatalf("%d runs in %d bytes", steps, len(msg))
		}
		r := Runs{}
		for _, s := range spans {
			r.AddSpan(s.Lo, s.Hi)
		}
		if n := r.Count(); n < 1<<12 {
			var seqs []Seq
			for _, s := range spans {
				for x := s.Lo; x <= s.Hi; x++ {
					seqs = append(seqs, x)
				}
			}
			if again := appendSeqSet(nil, seqs); len(again) > len(msg)+32 { // the choice goes by sizes that leave the heads out
				t.Fatalf("%d bytes for what %d say", len(again), len(msg))
			}
		}
	})
}

func BenchmarkSeqSet(b *testing.B) {
	for _, share := range []float64{0.01, 0.3, 0.9} {
		seqs := someSeqs(rand.New(rand.NewPCG(1, 2)), 1<<20, share, 1)
		msg := appendSeqSet(nil, seqs)
		b.Run(fmt.Sprintf("append/%v", share), func(b *testing.B) {
			for b.Loop() {
				appendSeqSet(nil, seqs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(seqs)), "ns/seq")
		})
		b.Run(fmt.Sprintf("has/%v", share), func(b *testing.B) {
			for b.Loop() {
				s := decodeSeqSet(b, msg)
				for _, x := range seqs {
					if !s.has(x) {
						b.Fatal(x)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(seqs)), "ns/seq")
			b.ReportMetric(float64(8*len(msg))/float64(len(seqs)), "bits/seq")
		})
	}
}
