package resp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/redcon"
)

func testLimits() *Limits {
	l := Limits{}.withDefaults()
	return &l
}

// frames cuts all commands out of input, which arrives in pieces of at most step bytes.
func frames(limits *Limits, input []byte, step int, open bool) (out [][]byte, err error) {
	g := guard{limits: limits}
	head := 0
	for tail := 0; ; {
		size, err := g.next(input[head:tail], open)
		switch {
		case err != nil:
			return out, err
		case size > 0:
			out = append(out, input[head:head+size])
			head += size
			g.reset()
		case tail == len(input):
			return out, nil
		default:
			tail = min(len(input), tail+step)
		}
	}
}

func TestGuardFindsWholeCommands(t *testing.T) {
	t.Parallel()
	const get = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
	for _, tc := range []struct {
		name, input string
		want        []string
	}{
		{"one", get, []string{get}},
		{"pipeline", get + get + "PING\r\n" + get, []string{get, get, "PING\r\n", get}},
		{"inline without carriage return", "PING\nECHO a\n", []string{"PING\n", "ECHO a\n"}},
		{"nothing to run", "*0\r\n*-1\r\n\r\n", []string{"*0\r\n", "*-1\r\n", "\r\n"}},
		{"binary argument", "*1\r\n$4\r\n\r\n\x00*\r\n", []string{"*1\r\n$4\r\n\r\n\x00*\r\n"}},
		{"empty argument", "*1\r\n$0\r\n\r\n", []string{"*1\r\n$0\r\n\r\n"}},
		{"incomplete", "*2\r\n$3\r\nGET\r\n$1\r\n", nil},
	} {
		for _, step := range []int{1, 2, 7, 1 << 20} {
			got, err := frames(testLimits(), []byte(tc.input), step, false)
			if err != nil || !equalText(got, tc.want) {
				t.Errorf("%s in steps of %d: %q, %v; want %q", tc.name, step, got, err, tc.want)
			}
		}
	}
}

func equalText(got [][]byte, want []string) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if string(got[i]) != want[i] {
			return false
		}
	}
	return true
}

func TestGuardRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input, want string
		open              bool
	}{
		{name: "announced bulk of 512 MB", input: "*1\r\n$536870912\r\n", want: "invalid bulk length"},
		{name: "bulk a little too large", input: "*1\r\n$1114113\r\n", want: "invalid bulk length"},
		{name: "negative bulk that redcon slices by", input: "*1\r\n$-2\r\n", want: "invalid bulk length"},
		{name: "negative bulk", input: "*1\r\n$-5\r\n", want: "invalid bulk length"},
		{name: "bulk length that wraps around", input: "*1\r\n$18446744073709551617\r\n", want: "invalid bulk length"},
		{name: "bulk length that is none", input: "*1\r\n$x\r\n", want: "invalid bulk length"},
		{name: "too many arguments", input: "*1048577\r\n", want: "invalid multibulk length"},
		{name: "endless count", input: "*" + strings.Repeat("1", 100), want: "too big mbulk count string"},
		{name: "endless length", input: "*1\r\n$" + strings.Repeat("1", 100), want: "too big bulk count string"},
		{name: "no bulk", input: "*1\r\n:1\r\n", want: "expected '$', got ':'"},
		{name: "control byte", input: "*1\r\n\x01", want: "expected '$', got '?'"},
		{name: "no end of a bulk", input: "*1\r\n$1\r\nabc", want: "expected CRLF after a bulk string"},
		{name: "endless line", input: strings.Repeat("a", inlineBytesMax+1), want: "too big inline request"},
		{name: "arguments before a password", input: "*11\r\n", want: "unauthenticated multibulk length", open: true},
		{name: "large bulk before a password", input: "*1\r\n$16385\r\n", want: "unauthenticated bulk length", open: true},
	} {
		for _, step := range []int{1, 1 << 20} {
			_, err := frames(testLimits(), []byte(tc.input), step, tc.open)
			var fault protocolError
			if !errors.As(err, &fault) || string(fault) != tc.want {
				t.Errorf("%s in steps of %d: %v, want %q", tc.name, step, err, tc.want)
			}
		}
	}
}

func TestGuardBoundsTheWholeCommand(t *testing.T) {
	t.Parallel()
	limits := testLimits()
	limits.CommandBytes = 1000
	input := "*100\r\n" + strings.Repeat("$100\r\n"+strings.Repeat("x", 100)+"\r\n", 100)
	if _, err := frames(limits, []byte(input), 50, false); err == nil || !strings.Contains(err.Error(), "more than 1000 bytes") {
		t.Fatalf("a command of 10 kB under a limit of 1,000 bytes: %v", err)
	}
}

// A command that arrives byte by byte must not be scanned from its start each time.
func TestGuardLooksAtEachByteOnce(t *testing.T) {
	t.Parallel()
	input := []byte("*100000\r\n" + strings.Repeat("$1\r\nx\r\n", 100000))
	got, err := frames(testLimits(), input, 1, false)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d commands, %v", len(got), err)
	}
}

func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "*1\r\n$-5\r\n", "PING\r\n*1\r\n$4\r\nPING\r\n", "*0\r\n", "*-1\r\n", "$5 PING \r\n",
		"SET a \"b c\"\r\n", "*1\r\n$536870912\r\n", "*3\r\n$1\r\n", "\r\n\r\n", "*2\r\n$0\r\n\r\n$1\r\n\n\r\n",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	limits := testLimits()
	limits.CommandBytes = 1 << 16
	f.Fuzz(func(t *testing.T, input []byte, step uint8) {
		whole, wholeErr := frames(limits, input, len(input)+1, false)
		parts, partsErr := frames(limits, input, int(step)+1, false)
		if fmt.Sprint(wholeErr) != fmt.Sprint(partsErr) || fmt.Sprintf("%q", whole) != fmt.Sprintf("%q", parts) {
			t.Fatalf("depends on how the input arrives:\n%q %v\n%q %v", whole, wholeErr, parts, partsErr)
		}
		for _, frame := range whole {
			if frame[0] != '*' {
				checkInline(t, frame)
				continue
			}
			checkFrame(t, frame)
		}
	})
}

// checkFrame: what the guard passes, redcon understands, and takes whole.
func checkFrame(t *testing.T, frame []byte) {
	t.Helper()
	if n, ok := parseInt(bytes.TrimSuffix(bytes.SplitAfter(frame, []byte("\n"))[0][1:], []byte("\r\n"))); ok && n <= 0 {
		return
	}
	complete, _, _, left, err := redcon.ReadNextCommand(frame, nil)
	if !complete || err != nil || len(left) != 0 {
		t.Fatalf("redcon on %q: complete %v, %d bytes left, %v", frame, complete, len(left), err)
	}
}

func checkInline(t *testing.T, frame []byte) {
	t.Helper()
	args, err := splitInline(frame, nil)
	size := 0
	for _, arg := range args {
		size += len(arg)
	}
	if err == nil && size > len(frame) {
		t.Fatalf("%q became %q", frame, args)
	}
}
