package fabric

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestMetricsAreDescribed: a registry that checks finds no series that Describe does not tell of.
func TestMetricsAreDescribed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	f, err := Open(t.Context(), Config{Name: "a", Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Region("r"); err != nil {
		t.Fatal(err)
	}
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
}
