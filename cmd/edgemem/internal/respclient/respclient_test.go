package respclient

import (
	"bufio"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func receive(wire string) (any, error) {
	return (&Conn{r: bufio.NewReader(strings.NewReader(wire))}).Receive()
}

func TestReceive(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]any{
		"+OK\r\n":                          "OK",
		":-7\r\n":                          int64(-7),
		"$-1\r\n":                          nil,
		"$4\r\na\r\nb\r\n":                 "a\r\nb",
		"*-1\r\n":                          nil,
		"*2\r\n$1\r\na\r\n*1\r\n:1\r\n":    []any{"a", []any{int64(1)}},
		"*2\r\n-ERR in an array\r\n+x\r\n": []any{Error("ERR in an array"), "x"},
	} {
		if got, err := receive(wire); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %#v, %v; want %#v", wire, got, err, want)
		}
	}
	var e Error
	if _, err := receive("-WRONGTYPE no\r\n"); !errors.As(err, &e) || e != "WRONGTYPE no" {
		t.Errorf("error reply came as %v", err)
	}
}

func TestReceiveRefusesGarbage(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{"hello\r\n", "$99999999999\r\n", ":x\r\n", "*1000000000\r\n", "+no end", "$3\r\nab", strings.Repeat("*1\r\n", 20)} {
		if got, err := receive(wire); err == nil {
			t.Errorf("%q: got %#v, want an error", wire, got)
		}
	}
}
