package crdt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// NodeID names a node for as long as it keeps its key: the text form of its libp2p peer id.
type NodeID string

// Nonce is what one process start is known by: its number in the node's line (StartNumber), 4 bytes big endian, and 128
// random bits. These must be fresh from a cryptographic source and durable before the first write of the
// incarnation, so that no dot is ever issued twice.
type Nonce [20]byte

// NewNonce puts a nonce together.
func NewNonce(number uint32, random [16]byte) (n Nonce) {
	binary.BigEndian.PutUint32(n[:], number)
	copy(n[4:], random[:])
	return n
}

// Number is the number of the start.
func (n Nonce) Number() uint32 { return binary.BigEndian.Uint32(n[:]) }

// Origin names one incarnation of one writer: the node, the number of the start and a hash of its nonce, see line.go.
// Anyone who knows node and nonce can verify it, and two incarnations never share a dot.
type Origin [16]byte

// NewOrigin derives the origin of the incarnation that started with nonce at node.
func NewOrigin(node NodeID, nonce Nonce) Origin {
	if nonce.Number() < FirstNumber {
		return Origin(truncated("edgemem origin 1\x00", string(node), "\x00", string(nonce[4:])))
	}
	tag := truncated("edgemem node 1\x00", string(node))
	hash := truncated("edgemem origin 2\x00", string(node), "\x00", string(nonce[:]))
	var o Origin
	copy(o[:], tag[:tagBytes])
	copy(o[tagBytes:], nonce[:4])
	copy(o[tagBytes+4:], hash[:])
	return o
}

// truncated is the first half of a SHA-256.
func truncated(parts ...string) (out [16]byte) {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
	}
	copy(out[:], h.Sum(nil))
	return out
}

// Compare orders origins by their bytes; the order only breaks ties.
func (o Origin) Compare(p Origin) int { return bytes.Compare(o[:], p[:]) }

// String gives two bytes of the node's tag and two of the start's hash in hexadecimal: enough to tell origins apart in a log.
func (o Origin) String() string {
	if o.IsLine() {
		return hex.EncodeToString(o[:2]) + "-line"
	}
	return hex.EncodeToString(o[:2]) + "-" + hex.EncodeToString(o[len(o)-2:])
}

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

// String is ORIGIN:NUMBER.
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

// String is the first 8 bytes in hexadecimal digits.
func (id RegionID) String() string { return hex.EncodeToString(id[:8]) }

// Record is one key of a region's durable image. A nil Value deletes the key.
type Record struct {
	Key, Value []byte
}
