package fabric

import (
	"encoding/binary"
	"fmt"
)

// Messages travel on a stream of their own, which a node opens to a neighbour when it first has something to say. It is
// written by the one that opened it, until the link ends; the other way has a stream of its own.
//
//	opener   → OPEN     abilities
//	neighbour → WELCOME abilities                (an earlier version ends the stream instead, and is left alone for a while)
//	opener   → WORD     tag, number, hops, interest     (what a node listens to: of this one, or passed on)
//	         → LOST     tag, number, …                  (nodes that this one does not reach any more)
//	         → MESSAGE  hops, tags of whom it is for, message
//
// Kinds that a later version adds are skipped.
const (
	frameOpen    = 40
	frameWelcome = 41
	frameWord    = 42
	frameLost    = 43
	frameMessage = 44
)

// MaxMessage is the longest message that other nodes get, its channel included.
const MaxMessage = 256 << 10

const (
	targetsMax    = 1024 // of one copy of a message; more are in further copies
	lossesMax     = 256  // in one frame
	wordMax       = interestMax + 64
	lostMax       = lossesMax*(len(tag{})+binary.MaxVarintLen64) + binary.MaxVarintLen64
	messageMax    = MaxMessage + targetsMax*len(tag{}) + 64
	skippedMax    = 1 << 20 // a frame of a later version
	openMax       = 64
	saltLen       = 4
	shardFlag     = 1
	channelMaxLen = MaxMessage
)

func frameLimit(kind byte) int {
	switch kind {
	case frameWord:
		return wordMax
	case frameLost:
		return lostMax
	case frameMessage:
		return messageMax
	}
	return skippedMax
}

func (w *word) append(b []byte) []byte {
	b = append(b, w.of[:]...)
	b = binary.AppendUvarint(b, w.seq)
	b = append(b, byte(w.hops))
	return append(b, w.raw...)
}

func decodeWord(b []byte) (w word, err error) {
	r := fields{rest: b}
	w.of, w.seq, w.hops = r.tag(), r.number(seqMax), int(r.byte())
	if err := r.err("a word"); err != nil {
		return w, err
	}
	w.raw = append([]byte(nil), r.rest...)
	w.want, err = decodeInterest(w.raw)
	return w, err
}

// loss says that a node is not reached any more, as of a number that it said.
type loss struct {
	of  tag
	seq uint64
}

func appendLosses(b []byte, list []loss) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, l := range list {
		b = binary.AppendUvarint(append(b, l.of[:]...), l.seq)
	}
	return b
}

func decodeLosses(b []byte) (list []loss, err error) {
	r := fields{rest: b}
	for range r.number(lossesMax) {
		list = append(list, loss{r.tag(), r.number(seqMax)})
	}
	return list, r.err("a list of lost nodes")
}

// letter is a message on its way.
type letter struct {
	hops int
	to   []tag
	body []byte // the rest, encoded: the same for everyone

	author  tag
	salt    [saltLen]byte // of the author's process
	count   uint64
	shard   bool
	strange bool // of a kind of channel that this version does not know: passed on alone
	channel string
	payload []byte // part of body
}

// seal encodes what is the same for everyone.
func (l *letter) seal() {
	b := make([]byte, 0, len(l.author)+saltLen+2*binary.MaxVarintLen64+1+len(l.channel)+len(l.payload))
	b = append(append(b, l.author[:]...), l.salt[:]...)
	b = binary.AppendUvarint(b, l.count)
	kind := byte(0)
	if l.shard {
		kind = shardFlag
	}
	b = appendText(append(b, kind), l.channel)
	l.body = append(b, l.payload...)
	l.payload = l.body[len(b):]
}

func (l *letter) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, byte(l.hops)), uint64(len(l.to)))
	for _, t := range l.to {
		b = append(b, t[:]...)
	}
	return append(b, l.body...)
}

// decodeLetter reads what append wrote. The result holds parts of b.
func decodeLetter(b []byte) (l letter, err error) {
	r := fields{rest: b}
	l.hops = int(r.byte())
	for range r.number(targetsMax) {
		l.to = append(l.to, r.tag())
	}
	l.body = r.rest
	l.author = r.tag()
	copy(l.salt[:], r.take(saltLen))
	l.count = r.number(1<<64 - 1)
	kind := r.byte()
	l.shard, l.strange = kind == shardFlag, kind > shardFlag
	l.channel = string(r.text(channelMaxLen))
	l.payload = r.rest
	if len(l.channel)+len(l.payload) > MaxMessage {
		return l, fmt.Errorf("%w: a message of %d bytes, limit %d", errProtocol, len(l.channel)+len(l.payload), MaxMessage)
	}
	return l, r.err("a message")
}
