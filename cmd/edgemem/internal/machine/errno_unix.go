//go:build unix

package machine

import (
	"errors"
	"syscall"
)

// notSupported tells the errors with which the kernel says that it does not know: PSI that is switched off (psi=0) reads so.
func notSupported(err error) bool {
	return errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENODEV)
}
