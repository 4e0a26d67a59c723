//go:build !linux

package persist

import "os"

// fdatasync is an fsync where there is nothing cheaper.
func fdatasync(f *os.File) error { return f.Sync() }
