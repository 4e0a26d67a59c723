package resp

import (
	"bytes"
	"testing"
)

// TestReplies: whole ones are counted, what is beside them is not, and parts are none.
func TestReplies(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "+OK\r\n": 1, "$-1\r\n*-1\r\n_\r\n": 3, "$0\r\n\r\n$4\r\na\r\nb\r\n": 2, "*2\r\n$1\r\na\r\n*1\r\n:1\r\n-ERR x\r\n": 2, "%1\r\n+a\r\n#t\r\n~1\r\n,1.5\r\n": 2,
		">2\r\n+a\r\n+b\r\n+OK\r\n": 1, "|1\r\n+a\r\n:1\r\n=5\r\ntxt:a\r\n": 1,
	} {
		if n, ok := replies([]byte(text)); n != want || !ok {
			t.Errorf("%q: %d, %v", text, n, ok)
		}
		for i := 1; i < len(text); i++ {
			if n, ok := replies([]byte(text[:i])); ok && n >= want && want > 0 {
				t.Errorf("%q: %d", text[:i], n)
			}
		}
	}
	for _, text := range []string{"OK\r\n", "+OK\n", "$5\r\nabc\r\n", "$-2\r\n", "*9999999\r\n", "$1\r\nabc\r\n", "*1\r\n"} {
		if n, ok := replies([]byte(text)); ok {
			t.Errorf("%q is %d replies", text, n)
		}
	}
}

// FuzzReplies: what a holder sends is counted or refused.
func FuzzReplies(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\na\r\n:1\r\n"))
	f.Add(bytes.Repeat([]byte("*1\r\n"), 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok := replies(b); ok && n > len(b)/3 {
			t.Errorf("%d replies in %d bytes", n, len(b))
		}
	})
}
