package fabric

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func wants(in *interest, key string) bool {
	w := newWanted(key)
	return in.wants(&w)
}

func topics(n, prefixes int) map[Topic]int {
	out := map[Topic]int{}
	for i := range n {
		out[Topic{Name: fmt.Sprint("channel:", i), Shard: i%2 == 1}] = 1
	}
	for i := range prefixes {
		out[ChannelPrefix(fmt.Sprint("prefix:", i))] = 1
	}
	return out
}

// Whatever is wanted is in the interest, however much it is; and of what is not, little.
func TestInterestHoldsWhatIsWanted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ channels, prefixes, falseMax, bytesMax int }{
		{0, 0, 0, 3}, {1, 0, 10, 16}, {30, 0, 30, 80}, {500, 10, 30, 1200}, {3000, 32, 40, 4600}, {8000, 0, 200, 4200}, {exactMax + 2, 0, 1000, 3}, {0, prefixesMax + 1, 1000, 3},
	} {
		all := topics(c.channels, c.prefixes)
		in := interestIn(all)
		raw := in.encode()
		back, err := decodeInterest(raw)
		if err != nil || !reflect.DeepEqual(in, back) || !bytes.Equal(raw, back.encode()) {
			t.Fatalf("%d channels: %v, back: %+v", c.channels, err, back)
		}
		if in.empty() != (len(all) == 0) || len(raw) > c.bytesMax {
			t.Errorf("%d channels, %d prefixes: %d bytes, at most %d wanted; empty: %v", c.channels, c.prefixes, len(raw), c.bytesMax, in.empty())
		}
		for topic := range all {
			if !wants(&back, topic.key()) || topic.Prefix && !wants(&back, topic.key()+" and more") {
				t.Fatalf("%d channels: %+v is missing", c.channels, topic)
			}
		}
		wrong := 0
		for i := range 1000 {
			if wants(&back, channelKey(false, fmt.Sprint("other:", i))) {
				wrong++
			}
		}
		if wrong > c.falseMax {
			t.Errorf("%d channels, %d prefixes: %d of 1000 others are wanted, at most %d expected", c.channels, c.prefixes, wrong, c.falseMax)
		}
	}
}

func TestLongPrefixesAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("p", 3*prefixMax)
	in := interestIn(map[Topic]int{ChannelPrefix(long): 1})
	if len(in.prefixes) != 1 || !wants(&in, "c"+long+"x") || wants(&in, "cp") || wants(&in, "s"+long) {
		t.Errorf("%+v", in)
	}
}

func sampleLetter() letter {
	l := letter{hops: 3, to: []tag{tagOf("a"), tagOf("b")}, author: tagOf("c"), salt: [4]byte{1, 2}, count: 7, shard: true, channel: "ch", payload: []byte("hello")}
	l.seal()
	return l
}

func TestLettersComeBack(t *testing.T) {
	t.Parallel()
	l := sampleLetter()
	back, err := decodeLetter(l.append(nil))
	if err != nil || !reflect.DeepEqual(l, back) {
		t.Errorf("%v\n%+v\n%+v", err, l, back)
	}
	l.payload = make([]byte, MaxMessage)
	l.seal()
	if _, err := decodeLetter(l.append(nil)); !errors.Is(err, errProtocol) {
		t.Errorf("a message that is too long: %v", err)
	}
	w := word{of: tagOf("a"), seq: 9, hops: 2, want: interestIn(topics(3, 1))}
	w.raw = w.want.encode()
	if back, err := decodeWord(w.append(nil)); err != nil || !reflect.DeepEqual(w, back) {
		t.Errorf("%v\n%+v\n%+v", err, w, back)
	}
	lost := []loss{{tagOf("a"), 1}, {tagOf("b"), seqMax}}
	if back, err := decodeLosses(appendLosses(nil, lost)); err != nil || !reflect.DeepEqual(lost, back) {
		t.Errorf("%v: %v", err, back)
	}
}

// What fits the bounds of a frame also fits what is sent at most.
func TestMessageFramesFitTheirLimits(t *testing.T) {
	t.Parallel()
	l := letter{hops: hopsMax, to: make([]tag, targetsMax), count: 1<<64 - 1, payload: make([]byte, MaxMessage)}
	l.seal()
	if n := len(l.append(nil)); n > messageMax {
		t.Errorf("a message of %d bytes, limit %d", n, messageMax)
	}
	list := make([]loss, lossesMax)
	for i := range list {
		list[i].seq = seqMax
	}
	if n := len(appendLosses(nil, list)); n > lostMax {
		t.Errorf("a list of %d bytes, limit %d", n, lostMax)
	}
	w := word{seq: seqMax, want: interestIn(topics(exactMax, 0))}
	for i := range prefixesMax {
		w.want.prefixes = append(w.want.prefixes, strings.Repeat("p", prefixMax-2)+fmt.Sprint(10+i))
	}
	w.raw = w.want.encode()
	if n := len(w.append(nil)); n > wordMax || len(w.raw) > interestMax {
		t.Errorf("a word of %d bytes, limit %d", n, wordMax)
	}
}

// No bytes of a neighbour do harm, and what is read is what is written again.
func FuzzMessageFrames(f *testing.F) {
	l := sampleLetter()
	f.Add(byte(frameMessage), l.append(nil))
	w := word{of: tagOf("a"), seq: 9, hops: 2}
	for _, in := range []interest{{}, {all: true}, interestIn(topics(20, 3))} {
		w.raw = in.encode()
		f.Add(byte(frameWord), w.append(nil))
	}
	f.Add(byte(frameLost), appendLosses(nil, []loss{{tagOf("a"), 1}}))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		switch kind {
		case frameMessage:
			l, err := decodeLetter(b)
			if err != nil {
				return
			}
			again, err := decodeLetter(l.append(nil))
			if err != nil || !reflect.DeepEqual(l, again) {
				t.Fatalf("%v\n%+v\n%+v", err, l, again)
			}
		case frameWord:
			w, err := decodeWord(b)
			if err != nil {
				return
			}
			wants(&w.want, "cx")
			again, err := decodeWord(w.append(nil))
			if err != nil || !reflect.DeepEqual(w, again) {
				t.Fatalf("%v\n%+v\n%+v", err, w, again)
			}
			if in, err := decodeInterest(w.want.encode()); err != nil || !reflect.DeepEqual(in, w.want) {
				t.Fatalf("%v\n%+v\n%+v", err, in, w.want)
			}
		case frameLost:
			list, err := decodeLosses(b)
			if err != nil {
				return
			}
			if again, err := decodeLosses(appendLosses(nil, list)); err != nil || !reflect.DeepEqual(list, again) {
				t.Fatalf("%v\n%v\n%v", err, list, again)
			}
		}
	})
}
