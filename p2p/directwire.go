package p2p

import (
	"encoding/binary"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// pushProtocol is the stream that goes with every proven connection, limited ones included: who dialled opens it, and
// both sides write. Frames as in wire.go; kinds that a later version adds are skipped.
const pushProtocol protocol.ID = "/edgemem/push/1"

// Frames of the push stream.
const (
	pushNews   byte = 1 // announcement: always the first frame, and again when it changes
	pushDirect byte = 2 // stamped frame that its author sent to everyone: not to be passed on
	pushRelay  byte = 3 // stamped frame that the receiver passes on
	pushMissed byte = 4 // empty: frames for the receiver were dropped. It should pull
)

const (
	stampMax     = stampSaltLen + binary.MaxVarintLen64
	pushFrameMax = MaxFrameBytes + stampMax // payload of the longest frame; a longer one ends the connection
)

// fewMax is how many neighbours a node may have and still send each of them its frames directly: that costs it one
// copy for each. With more, the topic spreads the load over all.
const fewMax = 4

// news is what a node tells a neighbour about itself.
type news struct {
	wantsFeed bool // pass on to me what you publish and receive
	feeds     bool // I do, since you asked
	needy     bool // I am a device and have none but devices around: keep the topic alive for me
	many      bool // I have more than fewMax neighbours
	reach     []tail
}

// tail stands for a peer in an announcement: the last bytes of its id, which are bytes of its key.
type tail [8]byte

func tailOf(p peer.ID) (t tail) {
	copy(t[:], p[max(0, len(p)-len(t)):])
	return t
}

const (
	newsWantsFeed byte = 1 << iota
	newsFeeds
	newsNeedy
	newsMany
)

// encode: flags, number of neighbours, their tails. A later version may append fields; ours skips what follows.
func (n news) encode() []byte {
	var flags byte
	for _, f := range []struct {
		on  bool
		bit byte
	}{{n.wantsFeed, newsWantsFeed}, {n.feeds, newsFeeds}, {n.needy, newsNeedy}, {n.many, newsMany}} {
		if f.on {
			flags |= f.bit
		}
	}
	b := binary.AppendUvarint([]byte{flags}, uint64(len(n.reach)))
	for _, t := range n.reach {
		b = append(b, t[:]...)
	}
	return b
}

func decodeNews(data []byte) (n news, err error) {
	d := decoder{rest: data}
	flags := d.byte()
	n = news{
		wantsFeed: flags&newsWantsFeed != 0, feeds: flags&newsFeeds != 0,
		needy: flags&newsNeedy != 0, many: flags&newsMany != 0,
	}
	for range d.count(fewMax) {
		var t tail
		copy(t[:], d.take(len(t)))
		n.reach = append(n.reach, t)
	}
	return n, d.err
}

// within tells whether every neighbour of n is among the known ones.
func (n news) within(known []tail) bool {
	for _, t := range n.reach {
		if !slices.Contains(known, t) {
			return false
		}
	}
	return !n.many
}
