package p2p

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// A key file is one line, "edgemem-ed25519-1 <seed> <check>": the 32-byte Ed25519 seed and the first 8
// bytes of its SHA-256, both in hexadecimal. The check is there so that a flipped bit is a clear error
// and never a new identity.
const (
	keyFileMagic = "edgemem-ed25519-1"
	keyCheckLen  = 8
)

// loadOrCreateKey reads the key at path. If there is none it makes one when create is true; created
// tells the two apart. A file that cannot be read back exactly is ErrDamaged.
func loadOrCreateKey(path string, create bool) (key ed25519.PrivateKey, created bool, err error) {
	text, ok, err := readIfThere(path)
	if err != nil {
		return nil, false, fmt.Errorf("p2p: read key: %w", err)
	}
	if ok {
		key, err = parseKey(path, string(text))
		return key, false, err
	}
	if !create {
		return nil, false, nil
	}
	_, key, err = ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, false, err
	}
	return key, true, writeDurable(path, formatKey(key))
}

func formatKey(key ed25519.PrivateKey) []byte {
	seed := key.Seed()
	return fmt.Appendf(nil, "%s %x %x\n", keyFileMagic, seed, keyCheck(seed))
}

func keyCheck(seed []byte) []byte {
	sum := sha256.Sum256(seed)
	return sum[:keyCheckLen]
}

func parseKey(path, text string) (ed25519.PrivateKey, error) {
	damaged := func(what string) error {
		return fmt.Errorf("%w: key %s: %s; restore it from a backup, or move the directory away to start as a new node",
			ErrDamaged, path, what)
	}
	fields := strings.Fields(text)
	if len(fields) != 3 || fields[0] != keyFileMagic {
		return nil, damaged("not a line of the form '" + keyFileMagic + " SEED CHECK'")
	}
	seed, err := hex.DecodeString(fields[1])
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, damaged("the seed is not 64 hexadecimal digits")
	}
	if fields[2] != hex.EncodeToString(keyCheck(seed)) {
		return nil, damaged("the checksum does not match the seed")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// libp2pKey gives the same key in libp2p's type.
func libp2pKey(key ed25519.PrivateKey) (crypto.PrivKey, error) {
	return crypto.UnmarshalEd25519PrivateKey(key)
}
