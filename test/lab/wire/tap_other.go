//go:build !linux

package wire

import (
	"errors"
	"os"
)

// TAP is an Ethernet card of a network namespace; only Linux has them.
type TAP struct {
	*os.File
}

// OpenTAP fails: there are no network namespaces here.
func OpenTAP(string, string) (*TAP, error) {
	return nil, errors.New("wire: TAP devices in network namespaces need Linux")
}

// Inside fails like OpenTAP.
func Inside(string, func() error) error { return errors.New("wire: network namespaces need Linux") }

// Carrier fails like OpenTAP.
func (*TAP) Carrier(bool) error { return errors.New("wire: no TAP devices here") }
