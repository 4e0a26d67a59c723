package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestDemo runs the demo on data of the test's own making, of either kind, and wants its proof to hold.
func TestDemo(t *testing.T) {
	t.Parallel()
	for _, input := range []struct{ name, content string }{
		{"orders.ndjson", ordersNDJSON(500)},
		{"orders.csv", ordersCSV(500)},
	} {
		t.Run(input.name, func(t *testing.T) {
			file := filepath.Join(harness.ShortDir(t), input.name)
			if err := os.WriteFile(file, []byte(input.content), 0o600); err != nil {
				t.Fatal(err)
			}
			r := harness.Edgemem(t, "demo", "--input", file, "--key", "order")
			if r.Code != 0 {
				t.Fatalf("exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
			}
			for _, want := range []string{"500 records", "the region was at the edge", "digests agree", "Everything held"} {
				if !strings.Contains(r.Stdout, want) {
					t.Errorf("the demo does not say %q:\n%s", want, r.Stdout)
				}
			}
			if strings.Contains(r.Stdout, "FAIL") {
				t.Error(r.Stdout)
			}
		})
	}
}

func TestDemoRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	dir := harness.ShortDir(t)
	broken := filepath.Join(dir, "broken.ndjson")
	if err := os.WriteFile(broken, []byte("{\"order\": 1}\n{\"order\": \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(dir, "absent.csv")
	for file, pattern := range map[string]string{broken: `broken.ndjson: line 2`, absent: `absent.csv`} {
		r := harness.Edgemem(t, "demo", "--input", file)
		if r.Code != failed {
			t.Errorf("%s: exit code %d, want %d", file, r.Code, failed)
		}
		mustMatch(t, file, harness.Complaint(t, r), pattern)
	}
}

func ordersNDJSON(records int) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	for i := range records {
		_ = enc.Encode(map[string]any{ // maps of strings and numbers always encode
			"order": fmt.Sprintf("o-%d", i), "customer": fmt.Sprintf("Zoë %d", i%17), "total": float64(i) * 1.25,
			"lines": []string{"nuts", "bolts"}, "paid": i%2 == 0, "note": nil,
		})
	}
	return b.String()
}

func ordersCSV(records int) string {
	var b strings.Builder
	b.WriteString("order,customer,total,note\n")
	for i := range records {
		fmt.Fprintf(&b, "o-%d,\"Zoë, %d\",%d.25,\"said \"\"yes\"\"\"\n", i, i%17, i)
	}
	return b.String()
}
