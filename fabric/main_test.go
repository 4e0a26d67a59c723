package fabric

import (
	"testing"

	"go.uber.org/goleak"
)

// A closed fabric leaves no goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
