package fabric

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

// Topic is what can be listened to: one channel, or all channels whose names begin with a prefix.
type Topic struct {
	Name   string
	Prefix bool // Name is a beginning; an empty one is every channel
	Shard  bool // of the second set of channels, which SSUBSCRIBE and SPUBLISH of Redis clients use
}

// key names a channel, or a beginning of channels, in an interest.
func (t Topic) key() string { return channelKey(t.Shard, t.Name) }

func channelKey(shard bool, name string) string {
	if shard {
		return "s" + name
	}
	return "c" + name
}

// interest says what a node listens to, in little room: all that it wants is in it, and some that it does not want may be.
// Channels are in a Bloom filter, 10 bits each, so that one message in a hundred comes for nothing; prefixes are listed, cut.
type interest struct {
	all      bool // too much to list: it is sent everything
	prefixes []string
	filter   []byte
}

const (
	filterEach   = 10 // bits for each channel
	filterProbes = 4
	filterMin    = 8       // bytes
	filterMax    = 4 << 10 // bytes; fuller than planned with more than 3276 channels
	exactMax     = 8 << 10 // channels; with more the filter would let most things through
	prefixesMax  = 32
	prefixMax    = 32 // bytes of one
	interestMax  = 8 << 10
)

// interestIn sums up topics.
func interestIn(topics map[Topic]int) (in interest) {
	exact, prefixes := 0, map[string]bool{}
	for t := range topics {
		if t.Prefix {
			key := t.key()
			prefixes[key[:min(len(key), prefixMax)]] = true
		} else {
			exact++
		}
		if exact > exactMax || len(prefixes) > prefixesMax {
			return interest{all: true}
		}
	}
	in.prefixes = slices.Sorted(maps.Keys(prefixes))
	if exact == 0 {
		return in
	}
	size := (exact*filterEach + 7) / 8
	size = min(max(1<<bits.Len(uint(size-1)), filterMin), filterMax)
	in.filter = make([]byte, size)
	for t := range topics {
		if !t.Prefix {
			in.add(newWanted(t.key()))
		}
	}
	return in
}

func (in *interest) empty() bool { return !in.all && len(in.prefixes) == 0 && len(in.filter) == 0 }

// wanted is a channel, hashed once for all who may want it.
type wanted struct {
	key     string
	h, step uint64
}

func newWanted(key string) wanted {
	h := uint64(14695981039346656037) // FNV-1a: the same on every node
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h ^= h >> 32
	return wanted{key, h, h*0x9e3779b97f4a7c15>>17 | 1}
}

// wants tells whether a message of a channel is to be sent there.
func (in *interest) wants(w *wanted) bool {
	if in.all {
		return true
	}
	for _, p := range in.prefixes {
		if strings.HasPrefix(w.key, p) {
			return true
		}
	}
	for i := range min(filterProbes, len(in.filter)) {
		if at := w.probe(i, len(in.filter)); in.filter[at/8]&(1<<(at%8)) == 0 {
			return false
		}
	}
	return len(in.filter) > 0
}

func (in *interest) add(w wanted) {
	for i := range filterProbes {
		at := w.probe(i, len(in.filter))
		in.filter[at/8] |= 1 << (at % 8)
	}
}

// probe is one of the bits that stand for a channel in a filter of a size.
func (w *wanted) probe(i, size int) uint64 { return (w.h + uint64(i)*w.step) % uint64(8*size) }

// encode: whether it is all, prefixes, filter. A later version may append fields; ours skips what follows.
func (in *interest) encode() []byte {
	b := []byte{0}
	if in.all {
		b[0] = 1
	}
	b = binary.AppendUvarint(b, uint64(len(in.prefixes)))
	for _, p := range in.prefixes {
		b = appendText(b, p)
	}
	return appendText(b, string(in.filter))
}

// decodeInterest reads what encode wrote. The result holds parts of b.
func decodeInterest(b []byte) (in interest, err error) {
	if len(b) == 0 || len(b) > interestMax {
		return in, fmt.Errorf("%w: an interest of %d bytes", errProtocol, len(b))
	}
	in.all = b[0]&1 != 0
	r := fields{rest: b[1:]}
	for range r.number(prefixesMax) {
		in.prefixes = append(in.prefixes, string(r.text(prefixMax)))
	}
	if filter := r.text(filterMax); len(filter) > 0 {
		in.filter = filter
	}
	if n := len(in.filter); n > 0 && (n < filterMin || n&(n-1) != 0) {
		r.bad = true
	}
	return in, r.err("an interest")
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// fields reads what was appended, and remembers if there was not enough, or too much.
type fields struct {
	rest []byte
	bad  bool
}

func (r *fields) number(most uint64) uint64 {
	x, n := binary.Uvarint(r.rest)
	if n <= 0 || x > most {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return x
}

func (r *fields) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *fields) text(most int) []byte { return r.take(int(r.number(uint64(most)))) }

func (r *fields) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *fields) tag() (t tag) {
	copy(t[:], r.take(len(t)))
	return t
}

func (r *fields) err(what string) error {
	if r.bad {
		return fmt.Errorf("%w: %s is malformed", errProtocol, what)
	}
	return nil
}
