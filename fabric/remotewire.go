package fabric

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Requests to a holder travel on a stream of their own, which a node opens when it first asks that holder, and keeps.
//
//	asker  → CALL     abilities, run of the asker
//	holder → READY    abilities, run of the holder     (an earlier version ends the stream instead, and is left alone for a while)
//	asker  → REQUEST  id, flags, time, lowest id, region, service, token, body
//	       → MORE     id, bytes                        (so much of the answer was taken)
//	       → CANCEL   id
//	holder → PART     id, bytes                        (at most remoteWindow of them beyond what was taken)
//	       → DONE     id, status, detail, …            (the end of the answer; in any order)
//
// A run names one start of a program. Ids count up for each holder, over all streams of a run. Kinds that a later version adds are skipped.
const (
	frameCall    = 50
	frameReady   = 51
	frameRequest = 52
	framePart    = 53
	frameDone    = 54
	frameMore    = 55
	frameCancel  = 56
)

// run names one start of a program at either end of a stream of requests.
type run [8]byte

// Bounds of what one stream carries.
const (
	// MaxRequest is the longest body of a request to a holder.
	MaxRequest      = 6 << 20
	remoteWindow    = 256 << 10 // bytes of one answer that are on the way
	partMax         = 32 << 10
	remoteDetailMax = 1 << 10
	remoteTokenMax  = 16 << 10
	remoteTimeMax   = 24 * time.Hour
	serviceMax      = 32
	regionNameMax   = 1 << 10 // it is checked as a name after
	requestMax      = MaxRequest + remoteTokenMax + regionNameMax + serviceMax + 64
	doneMax         = remoteDetailMax + remoteTokenMax + 128
)

func remoteFrameLimit(kind byte) int {
	switch kind {
	case frameRequest:
		return requestMax
	case framePart:
		return partMax + binary.MaxVarintLen64
	case frameDone:
		return doneMax
	case frameMore, frameCancel, frameCall, frameReady:
		return openMax
	}
	return skippedMax
}

func appendCall(b []byte, can abilities, r run) []byte {
	return append(binary.AppendUvarint(b, uint64(can)), r[:]...)
}

// decodeCall reads either opening. What follows is for later versions.
func decodeCall(b []byte) (r run, err error) {
	f := fields{rest: b}
	f.number(1<<64 - 1)
	copy(r[:], f.take(len(r)))
	return r, f.err("an opening of requests")
}

const (
	requestWrites = 1 << iota // it is done once or not at all
	requestAgain              // it may have come before
	requestLasts              // its answer ends when the asker has enough
)

// request is one on its way. Decoded, it holds parts of the frame.
type request struct {
	id      uint64
	flags   byte
	timeout time.Duration // 0: none
	lowest  uint64        // write of the asker's run that it may repeat
	region  string
	service string
	token   string // what the asker wrote through another holder
	body    []byte
}

func (q *request) append(b []byte) []byte {
	b = append(binary.AppendUvarint(b, q.id), q.flags)
	b = binary.AppendUvarint(b, uint64((q.timeout+time.Millisecond-1)/time.Millisecond))
	b = binary.AppendUvarint(b, q.lowest)
	b = appendText(appendText(appendText(b, q.region), q.service), q.token)
	return append(b, q.body...)
}

func decodeRequest(b []byte) (q request, err error) {
	r := fields{rest: b}
	q.id, q.flags = r.number(1<<64-1), r.byte()
	q.timeout = time.Duration(r.number(uint64(remoteTimeMax/time.Millisecond))) * time.Millisecond
	q.lowest = r.number(1<<64 - 1)
	q.region, q.service, q.token = string(r.text(regionNameMax)), string(r.text(serviceMax)), string(r.text(remoteTokenMax))
	if q.body = r.rest; len(q.body) > MaxRequest {
		return q, fmt.Errorf("%w: a request of %d bytes, limit %d", errProtocol, len(q.body), MaxRequest)
	}
	return q, r.err("a request")
}

func (q *request) is(flag byte) bool { return q.flags&flag != 0 }

// ending says how a request ended.
type ending byte

const (
	statusOK      ending = iota
	statusNotHeld        // the node has no copy; nothing was done
	statusBusy           // it has as much to do as it takes; nothing was done
	statusUnknown        // it does not know the service; nothing was done
	statusRefused        // the request is not one; nothing was done
	statusFailed         // the detail says why
	statusDoubt          // it came before, and what came of it is forgotten
)

// outcome ends an answer.
type outcome struct {
	id      uint64
	status  ending
	detail  string
	served  time.Duration // how long it took there
	upTo    int64         // RegionStatus.Complete, Unix ms; 0: nothing can be said
	dark    uint64
	missing uint64 // writes of the token that the holder has not seen
	token   string // after a write
}

func (o *outcome) append(b []byte) []byte {
	b = append(binary.AppendUvarint(b, o.id), byte(o.status))
	b = appendText(b, o.detail[:min(len(o.detail), remoteDetailMax)])
	for _, n := range []uint64{uint64(o.served / time.Microsecond), uint64(max(o.upTo, 0)), o.dark, o.missing} {
		b = binary.AppendUvarint(b, n)
	}
	return appendText(b, o.token)
}

// decodeOutcome reads what append wrote; what follows is for later versions.
func decodeOutcome(b []byte) (o outcome, err error) {
	r := fields{rest: b}
	o.id, o.status, o.detail = r.number(1<<64-1), ending(r.byte()), string(r.text(remoteDetailMax))
	o.served = time.Duration(r.number(uint64(remoteTimeMax/time.Microsecond))) * time.Microsecond
	o.upTo = int64(r.number(1 << 62))
	o.dark, o.missing, o.token = r.number(1<<32), r.number(1<<64-1), string(r.text(remoteTokenMax))
	return o, r.err("the end of an answer")
}

func appendNumbers(b []byte, list ...uint64) []byte {
	for _, n := range list {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// decodePart reads PART; the bytes are a part of b.
func decodePart(b []byte) (id uint64, part []byte, err error) {
	r := fields{rest: b}
	id = r.number(1<<64 - 1)
	return id, r.rest, r.err("a part of an answer")
}

// decodeMore reads MORE, or CANCEL, which has no bytes.
func decodeMore(b []byte, counted bool) (id, bytes uint64, err error) {
	r := fields{rest: b}
	id = r.number(1<<64 - 1)
	if counted {
		bytes = r.number(remoteWindow)
	}
	return id, bytes, r.err("a word about an answer")
}
