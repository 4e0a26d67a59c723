package resp

import (
	"strings"
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

func TestPeekKeys(t *testing.T) {
	t.Parallel()
	const get, set, ping = "*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n", "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\na\r\n\r\n", "*1\r\n$4\r\nPING\r\n"
	for in, want := range map[string]string{
		"": "", get: "k1", get + set + get: "k1,,k1", get + ping + get: "k1", get[:len(get)-1]: "", get + set[:18]: "k1", get + set[:19]: "k1,", "GET k\r\n": "", get + "*9\r\n": "k1",
		"*2\r\n$3\r\nGET\r\n$99999999\r\n": "", "*2\r\n$-1\r\n": "", "*\r\n": "", "$3\r\n": "", "*2\r": "", "*2": "", "*00000000002\r\n": "",
		strings.Repeat(get, 40): strings.TrimSuffix(strings.Repeat("k1,", crdt.WarmMax), ","),
	} {
		var room [crdt.WarmMax][]byte
		var got []string
		for _, k := range peekKeys([]byte(in), room[:0]) {
			got = append(got, string(k))
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%.60q: %q, want %q", in, got, want)
		}
	}
}

func FuzzPeekKeys(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var room [crdt.WarmMax][]byte
		total := 0
		for _, k := range peekKeys(in, room[:0]) {
			total += len(k)
		}
		if total > len(in) {
			t.Errorf("%d bytes of keys in %d", total, len(in))
		}
	})
}
