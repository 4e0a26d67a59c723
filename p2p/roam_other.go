//go:build !linux

package p2p

import "errors"

// networkWatch does not exist here: interfaces are looked at every lookEvery.
type networkWatch struct{}

func openNetworkWatch() (*networkWatch, error) { return nil, errors.ErrUnsupported }

func (*networkWatch) next() error { return errors.ErrUnsupported }

// Close has nothing to close.
func (*networkWatch) Close() error { return nil }
