package sim

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/sim/scenario"
)

var scenarioFlag = flag.String("scenario", "", "play this scenario file alone; default: those of scenarios/")

// TestScenario plays the scenario files and holds them to what they expect.
func TestScenario(t *testing.T) {
	files, err := filepath.Glob("scenarios/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario files: %v", err)
	}
	if *scenarioFlag != "" {
		files = []string{*scenarioFlag}
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			t.Parallel()
			s, err := scenario.LoadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rep, err := scenario.Run(s)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", rep)
			for _, wrong := range rep.Check() {
				t.Error(wrong)
			}
		})
	}
}
