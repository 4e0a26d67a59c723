package p2p

import "crypto/sha256"

// HashKey keys the places of entries in the hash space (crdt.Config.HashKey): all members have it, for they know the
// authority; clients of a node do not, and so cannot choose keys that hash alike.
func (h *Host) HashKey() (key [16]byte) {
	sum := sha256.Sum256(append([]byte("edgemem places 1\x00"), h.member.cert.Authority...))
	copy(key[:], sum[:])
	return key
}
