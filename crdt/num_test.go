package crdt

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func randomDecimal(rng *rand.Rand) string {
	s := ""
	if rng.IntN(2) == 0 {
		s = "-"
	}
	for range 1 + rng.IntN(25) {
		s += strconv.Itoa(rng.IntN(10))
	}
	if rng.IntN(2) == 0 {
		s += "."
		for range 1 + rng.IntN(maxScale) {
			s += strconv.Itoa(rng.IntN(10))
		}
	}
	return s
}

func rat(t *testing.T, s string) *big.Rat {
	t.Helper()
	x, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is not a number", s)
	}
	return x
}

func TestNumAgainstRat(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		a, b := randomDecimal(rng), randomDecimal(rng)
		x, err := parseNum(a)
		y, err2 := parseNum(b)
		if err != nil || err2 != nil {
			t.Fatalf("%s %v, %s %v", a, err, b, err2)
		}
		ra, rb := rat(t, a), rat(t, b)
		for _, c := range []struct {
			got  num
			want *big.Rat
		}{{x, ra}, {x.add(y), new(big.Rat).Add(ra, rb)}, {x.sub(y), new(big.Rat).Sub(ra, rb)}, {x.neg(), new(big.Rat).Neg(ra)}} {
			s := c.got.String()
			if rat(t, s).Cmp(c.want) != 0 {
				t.Fatalf("%s and %s: got %s, want %s", a, b, s, c.want.FloatString(20))
			}
			if strings.Contains(s, ".") && strings.HasSuffix(s, "0") || strings.HasPrefix(s, "-0") && !strings.HasPrefix(s, "-0.") {
				t.Fatalf("%q is not canonical", s)
			}
			d := decoder{b: appendNum(nil, c.got)}
			if back := d.num(); d.done() != nil || back.String() != s {
				t.Fatalf("%s reads back as %s, %v", s, back, d.err)
			}
		}
	}
}

func TestNumParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"+5", "5"}, {"007", "7"}, {".5", "0.5"}, {"5.", "5"}, {"1e3", "1000"}, {"1E-3", "0.001"},
		{"1.50e1", "15"}, {"9223372036854775807", "9223372036854775807"}, {"-9223372036854775808", "-9223372036854775808"},
		{"9223372036854775808", "9223372036854775808"},
		{"0.000000000000000005", "0"}, {"0.000000000000000015", "0.00000000000000002"}, {"0.000000000000000025", "0.00000000000000002"},
		{"-0.000000000000000051", "-0.00000000000000005"}, {"0.0000000000000000051", "0.00000000000000001"},
	} {
		if n, err := parseNum(c.in); err != nil || n.String() != c.want {
			t.Errorf("%q: %v %v, want %s", c.in, n, err, c.want)
		}
	}
	for _, bad := range []string{"", "-", "+", ".", "1e", "e1", "1e401", "nan", "inf", "0x10", "1 ", " 1", "1,5", "1_000", "--1", "+-1", "1e+", strings.Repeat("9", maxDigits+1)} {
		if n, err := parseNum(bad); err == nil {
			t.Errorf("%.20q: %v, want an error", bad, n)
		}
	}
}

func TestParseIntIsRedis(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"0", "1", "-1", "42", "9223372036854775807", "-9223372036854775808"} {
		if n, ok := parseInt([]byte(s)); !ok || fmt.Sprint(n) != s {
			t.Errorf("%q: %d %v", s, n, ok)
		}
	}
	for _, s := range []string{"", "-", "-0", "+1", "01", " 1", "1 ", "1.0", "1e2", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999", "123456789012345678901"} {
		if n, ok := parseInt([]byte(s)); ok {
			t.Errorf("%q is %d, want none", s, n)
		}
	}
}

func TestIncrLimits(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error {
		tx.Set("max", fmt.Append(nil, int64(math.MaxInt64)), false)
		if _, err := tx.Incr("max", 1); !errors.Is(err, ErrOverflow) {
			t.Errorf("beyond int64: %v", err)
		}
		for _, s := range []string{"", "x", "3.0", "1e2", "0x1"} {
			tx.Set("s", []byte(s), false)
			if _, err := tx.Incr("s", 1); !errors.Is(err, ErrNotInteger) {
				t.Errorf("Incr of %q: %v", s, err)
			}
		}
		tx.Set("half", []byte("1.5"), false)
		if s, err := tx.IncrFloat("half", "1.5"); err != nil || s != "3" {
			t.Errorf("1.5 + 1.5: %q %v", s, err)
		}
		if n, err := tx.Incr("half", 1); err != nil || n != 4 {
			t.Errorf("3 + 1: %d %v", n, err)
		}
		if _, err := tx.IncrFloat("s", "1"); !errors.Is(err, ErrNotNumber) {
			t.Errorf("IncrFloat of %q: %v", "0x1", err)
		}
		return nil
	})
}

// TestLargestSumReadsBack: what is accepted is stored, and what would not read back is refused.
func TestLargestSumReadsBack(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	largest := strings.Repeat("9", maxDigits)
	update(t, r, func(tx *Tx) error {
		if s, err := tx.IncrFloat("n", largest); err != nil || s != largest {
			t.Errorf("%.10q… %v", s, err)
		}
		for _, more := range []string{"1", "1e399"} {
			if _, err := tx.IncrFloat("n", more); !errors.Is(err, ErrOverflow) {
				t.Errorf("+%s: %v, want ErrOverflow", more, err)
			}
		}
		if _, err := tx.IncrFloat("m", "1e400"); !errors.Is(err, ErrOverflow) {
			t.Errorf("1e400: %v, want ErrOverflow", err)
		}
		return nil
	})
	b := copyOf(t, r, 2)
	if v, _, _ := b.View(testNow).Get("n"); string(v) != largest {
		t.Fatalf("got %.20q…", v)
	}
	// The sum fits, but our own part of it would not.
	update(t, b, func(tx *Tx) error { _, err := tx.IncrFloat("n", "-"+largest); return err })
	pullAll(t, r, b, 1<<20)
	update(t, r, func(tx *Tx) error {
		if _, err := tx.IncrFloat("n", "1"); !errors.Is(err, ErrOverflow) {
			t.Errorf("our part beyond the limit: %v", err)
		}
		return nil
	})
	if v, _, _ := r.View(testNow).Get("n"); string(v) != "0" {
		t.Fatalf("got %.20q…, want 0", v)
	}
}
