package config

import (
	"fmt"

	"github.com/agnivade/levenshtein"
)

// Nearest gives the candidate with the fewest edits from word, or "" if none is near enough that a
// person could have meant it: two edits, or a third of the word.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func didYouMean(word string, candidates []string) string {
	if near := Nearest(word, candidates); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
