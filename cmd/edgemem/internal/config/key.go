package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// KeyBytes is the length of the key of an encrypted store.
const KeyBytes = 32

// keyFileBytesMax is more than any form of a key takes: a longer file is some other one named by mistake.
const keyFileBytesMax = 256

// Key reads the key of the store; nil where KeyFile names none.
func (c *Config) Key() ([]byte, error) {
	if c.KeyFile == "" {
		return nil, nil
	}
	key, err := ReadKey(c.KeyFile)
	if err != nil {
		return nil, &FieldError{"key-file", err.Error()}
	}
	return key, nil
}

// ReadKey reads a key of 32 bytes: raw, as 64 hexadecimal digits, or in base64. The file must be for its owner alone.
func ReadKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkKeyFile(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, keyFileBytesMax+1))
	if err != nil {
		return nil, err
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func checkKeyFile(path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return fmt.Errorf("%s: not a regular file", path)
	case mode.Perm()&0o077 != 0:
		return fmt.Errorf("%s: others than its owner may use it (mode %04o): chmod 600 %s", path, mode.Perm(), path)
	case info.Size() > keyFileBytesMax:
		return fmt.Errorf("%s: %d bytes, which is no key", path, info.Size())
	}
	return nil
}

var errNoKey = errors.New("no key: want 32 bytes raw, 64 hexadecimal digits, or base64 of 32 bytes ('head -c 32 /dev/urandom' makes one)")

// parseKey tells the forms apart by length.
func parseKey(data []byte) ([]byte, error) {
	key := data
	if text := bytes.TrimSpace(data); len(data) != KeyBytes {
		var err error
		switch len(text) {
		case hex.EncodedLen(KeyBytes):
			key, err = hex.DecodeString(string(text))
		case base64.StdEncoding.EncodedLen(KeyBytes):
			key, err = base64.StdEncoding.DecodeString(string(text))
		case base64.RawStdEncoding.EncodedLen(KeyBytes):
			key, err = base64.RawStdEncoding.DecodeString(string(text))
		default:
			err = errNoKey
		}
		if err != nil || len(key) != KeyBytes {
			return nil, errNoKey // without the cause, which could quote the key
		}
	}
	if bytes.Count(key, key[:1]) == KeyBytes {
		return nil, errors.New("no key: all its bytes are the same")
	}
	return key, nil
}
