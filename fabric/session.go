package fabric

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// A pull is one exchange on one stream. The puller speaks first:
//
//	puller → CHECK fingerprint of all regions
//	peer   → SAME                                  (the end), or
//	         DIFFER abilities, a fingerprint for each bucket of regions
//	puller → SCOPE the buckets that differ         (ASK and the answer are about these)
//	         ASK   region, fingerprint, …          (those that hold something)
//	         HELLO what was seen of one region, …  (up to inlineHellos of them)
//	         LEAD  region, …               (of those: see back.go)
//	         OVER  abilities, bytes a second that it takes
//	peer   → NAME region, name; CHUNK …            (for each region of which it has more)
//	         WANT  region, … or TURN               (while something is missing: the puller goes on from HELLO or REPLY)
//	         END   region, fingerprint, …          (what the peer has of the regions that differed)
//	puller → HELLO …                               (of the regions that WANT names: they differ, and no HELLO came)
//	         REPLY …                               (where the puller is below the peer's floors, the two find out what
//	         BACK  …                                differs; the first messages of the answer are offers, not chunks;
//	         OVER                                   BACK are chunks for a peer that asked for them in its offer)
//
// Of a causal region, WHOLE n before the chunks says that the next n were made at one moment and are to be merged together; it
// is left out where they are too many.
//
// All regions share the turns: a pull takes as many round trips as the region that needs the most.
//
// In place of its answer, or in the middle of it, a peer that answers too many pulls says
//
//	peer   → BUSY  when to come back, ms
//
// and the session ends; what came until then stays.
//
// After a connection, with few regions, the puller begins with ASK: a pull takes one round trip whatever was missed, two
// where more than inlineHellos regions changed. Else CHECK comes first, and takes one more where something differs; what
// it costs does not grow with the regions, what follows grows with those in the buckets that differ.
//
// Versions of this protocol meet: what a peer may not know is sent only to one that said that it does, in OVER or in
// DIFFER, which earlier versions send empty, and whose contents they skip.
const (
	frameCheck  = 1
	frameAsk    = 2
	frameHello  = 3
	frameOver   = 4
	frameName   = 5
	frameChunk  = 6
	frameWant   = 7
	frameEnd    = 8
	frameSame   = 9
	frameDiffer = 10
	frameScope  = 11
	frameBusy   = 12
	frameTurn   = 13
	frameReply  = 14
	frameZstd   = 15 // a CHUNK, compressed
	frameWhole  = 16
	frameLead   = 17
	frameBack   = 18
)

// abilities say what a side of a session understands beyond the first version of the protocol. Unknown bits are for later
// versions.
type abilities uint64

const (
	canScope    abilities = 1 << iota // SCOPE
	canReply                          // TURN and REPLY
	canZstd                           // compressed chunks
	canWhole                          // WHOLE
	canMessages                       // OPEN, which is just tried: see messagewire.go
	canBack                           // LEAD and BACK, and coded symbols in the narrow form
	canBounded                        // rights of bounded counters; told in the node's record
	canAnswer                         // CALL, too: see remotewire.go
	canMove                           // VOW, which is just tried: see vows.go
	canDecide                         // REPORT and MOVE; told in the node's record: see links.go
)

const ourAbilities = canScope | canReply | canZstd | canWhole | canMessages | canBack | canBounded | canAnswer | canMove | canDecide

const (
	frameMax     = 32 << 20 // one cell may hold some concurrent values of 1 MiB
	smallMax     = 8 << 20  // frames other than chunks
	chunkBytes   = 256 << 10
	inlineHellos = 64
	turnsMax     = 64 // turns of the puller in one session; it needs three, and a few more while floors rise
	// stallTimeout ends a session in which nothing came or went for that long. What was merged stays.
	stallTimeout = 15 * time.Second
)

var errProtocol = errors.New("fabric: peer breaks the sync protocol")

// state is a region and the fingerprint of what was seen of it.
type state struct {
	id   crdt.RegionID
	hash uint64
}

func statesOf(regions []*Region) []state {
	out := make([]state, len(regions))
	for i, r := range regions {
		out[i] = state{r.id, r.hash.Load()}
	}
	return out
}

const stateBytes = 24

func appendStates(b []byte, list []state) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, x := range list {
		b = append(b, x.id[:]...)
		b = binary.BigEndian.AppendUint64(b, x.hash)
	}
	return b
}

func decodeStates(b []byte) ([]state, error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n != uint64(len(b)-k)/stateBytes || (len(b)-k)%stateBytes != 0 || n > maxRegions {
		return nil, fmt.Errorf("%w: a list of regions of %d bytes", errProtocol, len(b))
	}
	out := make([]state, n)
	for i := range out {
		x := b[k+stateBytes*i:]
		out[i] = state{crdt.RegionID(x[:16]), binary.BigEndian.Uint64(x[16:stateBytes])}
	}
	return out, nil
}

func decodeIDs(b []byte) ([]crdt.RegionID, error) {
	if len(b)%16 != 0 || len(b) > 16*maxRegions {
		return nil, fmt.Errorf("%w: a list of regions of %d bytes", errProtocol, len(b))
	}
	out := make([]crdt.RegionID, len(b)/16)
	for i := range out {
		out[i] = crdt.RegionID(b[16*i : 16*i+16])
	}
	return out, nil
}

// appendDiffer answers a check.
func (a abilities) appendDiffer(b []byte, s *snapshot) []byte {
	if a == 0 {
		return b
	}
	return s.append(binary.AppendUvarint(b, uint64(a)))
}

// decodeDiffer gives what the peer can, and in which buckets it differs from s. An earlier version says nothing: all of
// them may differ. What follows the fingerprints is for later versions.
func decodeDiffer(b []byte, s *snapshot) (abilities, *bucketSet, error) {
	if len(b) == 0 {
		return 0, everyBucket, nil
	}
	can, n := binary.Uvarint(b)
	if n <= 0 || len(b) < n+8*bucketCount {
		return 0, nil, fmt.Errorf("%w: an answer to a check of %d bytes", errProtocol, len(b))
	}
	return abilities(can), s.differ(b[n:]), nil
}

// appendOver ends the puller's turn. limit is what it takes, bytes a second; 0 is no limit.
func (a abilities) appendOver(b []byte, limit int) []byte {
	if a == 0 {
		return b
	}
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(a)), uint64(limit))
}

// decodeOver gives what the puller can and takes; an earlier version says nothing. What follows is for later versions.
func decodeOver(b []byte) (can abilities, limit int, err error) {
	if len(b) == 0 {
		return 0, 0, nil
	}
	a, n := binary.Uvarint(b)
	rate, k := binary.Uvarint(b[max(n, 0):])
	if n <= 0 || k <= 0 {
		return 0, 0, fmt.Errorf("%w: abilities of %d bytes", errProtocol, len(b))
	}
	if rate > 0 {
		limit = int(min(max(rate, limitMin), limitMax))
	}
	return abilities(a), limit, nil
}
