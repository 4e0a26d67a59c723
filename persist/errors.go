package persist

import (
	"errors"
	"fmt"
	"path/filepath"
)

var (
	// ErrLocked: another process, or another Store of this process, has the directory open.
	ErrLocked = errors.New("persist: directory in use")
	// ErrDamaged: what is on disk is not what was acknowledged. A *DamageError says which file or key.
	ErrDamaged = errors.New("persist: damaged")
	// ErrVersion: the directory, or a record, was written by a newer format than this program knows.
	ErrVersion = errors.New("persist: newer format")
	// ErrForeign: the directory belongs to another node.
	ErrForeign = errors.New("persist: directory belongs to another node")
	// ErrFull: too little free disk. Nothing was written; the store works again once there is room.
	ErrFull = errors.New("persist: disk full")
	// ErrFailed: a write or fsync failed earlier, so the store acknowledges nothing more until it is
	// opened again. The batch that met the error may or may not be found then, but never a part of it.
	ErrFailed = errors.New("persist: store failed, open it again")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("persist: closed")
	// ErrKey: the store is encrypted and the key is missing or another one, or it is plain and a key was given. Nothing was changed.
	ErrKey = errors.New("persist: encryption key")
	// ErrConfig: a field of Config is wrong; the message names it.
	ErrConfig = errors.New("persist: bad configuration")
)

// FullError says which disk is full. errors.Is(err, ErrFull) holds for it.
type FullError struct {
	Path       string
	Free, Need int64 // bytes
}

// Error says how much is free, and how much is to be.
func (e *FullError) Error() string {
	return fmt.Sprintf("%v: the file system of %s has %d bytes (%d MiB) free, the store needs %d (%d MiB); make room and try again",
		ErrFull, e.Path, e.Free, e.Free>>20, e.Need, e.Need>>20)
}

// Is makes every FullError an ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// remedy ends every report of damage: what an operator can do about it.
const remedy = "restore the directory from a backup, or move it away and let the node fetch its regions from its peers; " +
	"'edgemem doctor --repair', or Salvage, reads what is left"

// DamageError says where a store is damaged. errors.Is(err, ErrDamaged) holds for it.
type DamageError struct {
	Path   string // the file, or the directory where a file is missing
	Key    []byte // the record, where the damage was met in one
	Detail string // what is wrong
	Err    error  // the cause, or nil
}

// Error names the file and what is wrong with it, and says what to do.
func (e *DamageError) Error() string {
	where := e.Path
	if e.Key != nil {
		where = fmt.Sprintf("%s, key %q", e.Path, abbreviate(e.Key))
	}
	cause := ""
	if e.Err != nil {
		cause = ": " + e.Err.Error()
	}
	return fmt.Sprintf("%v: %s: %s%s (%s)", ErrDamaged, where, e.Detail, cause, remedy)
}

// Is makes every DamageError an ErrDamaged.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// DamagedKey is the record, where the damage was met in one: it says to others that it is damage.
func (e *DamageError) DamagedKey() []byte { return e.Key }

// Unwrap gives the cause.
func (e *DamageError) Unwrap() error { return e.Err }

func damaged(dir, file, format string, args ...any) error {
	return &DamageError{Path: filepath.Join(dir, file), Detail: fmt.Sprintf(format, args...)}
}

// abbreviate keeps a key of many kilobytes out of logs.
func abbreviate(key []byte) []byte {
	const shownBytesMax = 64
	if len(key) <= shownBytesMax {
		return key
	}
	return append(key[:shownBytesMax:shownBytesMax], "…"...)
}
