package fabric

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Labels of nodes, and those that a region asks of its holders, are at most labelsMax. Keys and values are of letters, digits and ._-/, at most
// labelMax bytes each. In records they are key=value with commas, by key.
const (
	labelsMax = 16
	labelMax  = 63
)

func isLabel(s string) bool {
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-/", c)
	}
	return len(s) > 0 && len(s) <= labelMax && !strings.ContainsFunc(s, odd)
}

// ParseLabels reads labels from texts such as site=b. It gives a map that is empty, but not nil, for no text.
func ParseLabels(pairs []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, pair := range pairs {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("fabric: label %q: want KEY=VALUE", pair)
		}
		labels[k] = v
	}
	return labels, checkLabels(labels)
}

func checkLabels(labels map[string]string) error {
	if len(labels) > labelsMax {
		return fmt.Errorf("fabric: %d labels: want %d at most", len(labels), labelsMax)
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if !isLabel(k) || !isLabel(labels[k]) {
			return fmt.Errorf("fabric: label %q=%q: want letters, digits and ._-/, 1 to %d of each", k, labels[k], labelMax)
		}
	}
	return nil
}

func encodeLabels(labels map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}

// decodeLabels reads what encodeLabels wrote, and of anything else what it can. None: nil.
func decodeLabels(text string) (labels map[string]string) {
	for pair := range strings.SplitSeq(text, ",") {
		if k, v, ok := strings.Cut(pair, "="); ok && isLabel(k) && isLabel(v) && len(labels) < labelsMax {
			if labels == nil {
				labels = map[string]string{}
			}
			labels[k] = v
		}
	}
	return labels
}
