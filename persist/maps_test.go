package persist_test

import (
	"os"
	"testing"

	"github.com/edgemem/edgemem/persist"
)

func TestProbeOfMaps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		check(t, persist.ProbeMaps(dir))
	}
	left, err := os.ReadDir(dir)
	check(t, err)
	if len(left) > 0 {
		t.Errorf("the probe leaves %v", left)
	}
}
