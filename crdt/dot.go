package crdt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// NodeID names a node for as long as it keeps its key: the text form of its libp2p peer id.
type NodeID string

// Nonce is the randomness of one process start. It must be fresh from a cryptographic source and
// durable before the first write of the incarnation, so that no dot is ever issued twice.
type Nonce [16]byte

// Origin names one incarnation of one writer. It is a truncated SHA-256 of the node and the nonce, so
// that anyone who knows both can verify it, and so that two incarnations never share a dot.
type Origin [16]byte

// NewOrigin derives the origin of the incarnation that started with nonce at node.
func NewOrigin(node NodeID, nonce Nonce) Origin {
	h := sha256.New()
	h.Write([]byte("edgemem origin 1\x00"))
	h.Write([]byte(node))
	h.Write([]byte{0})
	h.Write(nonce[:])
	var o Origin
	copy(o[:], h.Sum(nil))
	return o
}

// Compare orders origins by their bytes; the order only breaks ties.
func (o Origin) Compare(p Origin) int { return bytes.Compare(o[:], p[:]) }

// String gives the first four bytes in hexadecimal: enough to tell origins apart in a log.
func (o Origin) String() string { return hex.EncodeToString(o[:4]) }

// MarshalText gives all sixteen bytes in hexadecimal.
func (o Origin) MarshalText() ([]byte, error) {
	return []byte(hex.EncodeToString(o[:])), nil
}

// UnmarshalText reads what MarshalText wrote.
func (o *Origin) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(o) {
		return fmt.Errorf("crdt: origin %q: want %d hexadecimal digits", text, 2*len(o))
	}
	copy(o[:], b)
	return nil
}

// Seq numbers the writes of one origin from 1. Zero means none.
type Seq uint64

// maxSeq bounds sequence numbers from elsewhere, so that sums of a few never wrap.
const maxSeq = 1 << 62

// Dot names one write for ever.
type Dot struct {
	Origin Origin
	Seq    Seq
}

func (d Dot) String() string { return fmt.Sprintf("%v:%d", d.Origin, d.Seq) }

// RegionID names a region on the wire and on disk: a truncated SHA-256 of its name, so that nodes that
// create the same region apart from each other agree on it.
type RegionID [16]byte

// RegionIDOf derives the id of the region called name.
func RegionIDOf(name string) RegionID {
	sum := sha256.Sum256(append([]byte("edgemem region 1\x00"), name...))
	var id RegionID
	copy(id[:], sum[:])
	return id
}

func (id RegionID) String() string { return hex.EncodeToString(id[:8]) }

// Record is one key of a region's durable image. A nil Value deletes the key.
type Record struct {
	Key, Value []byte
}
