//go:build !linux

package disk

import "errors"

type mounted struct{}

// ErrNoFUSE: this machine or user cannot mount one.
var ErrNoFUSE = errors.New("disk: no FUSE here: it needs Linux")

// Mount is for Linux.
func (d *Disk) Mount(string) error { return ErrNoFUSE }

// Unmount is for Linux.
func (d *Disk) Unmount() error { return nil }

// Abandon is for Linux.
func (d *Disk) Abandon() {}
