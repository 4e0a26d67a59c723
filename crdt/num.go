package crdt

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Errors of numeric operations. Their texts follow the package's other errors; a protocol maps them.
var (
	ErrNotInteger = errors.New("crdt: the value is not a 64-bit integer")
	ErrNotNumber  = errors.New("crdt: the value is not a decimal number")
	ErrOverflow   = errors.New("crdt: the result does not fit")
)

const (
	maxScale  = 17  // fraction digits that are kept
	maxDigits = 400 // digits of a coefficient; beyond that ErrOverflow
)

// num is an exact decimal, coefficient × 10^-scale, or an exact binary fraction, coefficient × 2^-scale. Sums of
// exact numbers do not depend on the order, so replicas that add the same contributions agree to the last digit.
type num struct {
	small int64
	big   *big.Int // nil: small holds the coefficient
	scale int
	two   bool // the scale counts powers of two; see num2.go
}

func (n num) coef() *big.Int {
	if n.big != nil {
		return n.big
	}
	return big.NewInt(n.small)
}

// fit gives the smallest form: no trailing fraction zeros, int64 where it fits.
func fit(c *big.Int, scale int) num {
	ten, q, r := big.NewInt(10), new(big.Int), new(big.Int)
	for scale > 0 {
		if q.QuoRem(c, ten, r); r.Sign() != 0 {
			break
		}
		c, scale = new(big.Int).Set(q), scale-1
	}
	if c.IsInt64() {
		return num{small: c.Int64(), scale: scale}
	}
	return num{big: c, scale: scale}
}

func (n num) add(m num) num {
	if n.big == nil && m.big == nil && n.scale == 0 && m.scale == 0 {
		if s := n.small + m.small; (s > n.small) == (m.small > 0) {
			return num{small: s}
		}
	}
	if n.two || m.two {
		return addTwo(n, m)
	}
	scale := max(n.scale, m.scale)
	return fit(new(big.Int).Add(n.at(scale), m.at(scale)), scale)
}

func (n num) sub(m num) num { return n.add(m.neg()) }

func (n num) neg() num {
	if n.big == nil && n.small != math.MinInt64 {
		return num{small: -n.small, scale: n.scale, two: n.two}
	}
	if n.two {
		return fitTwo(new(big.Int).Neg(n.coef()), n.scale)
	}
	return fit(new(big.Int).Neg(n.coef()), n.scale)
}

// at is the coefficient at a scale that is not smaller.
func (n num) at(scale int) *big.Int {
	if scale == n.scale {
		return n.coef()
	}
	p := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-n.scale)), nil)
	return p.Mul(p, n.coef())
}

func (n num) isInt64() bool { return n.big == nil && n.scale == 0 }

// tooLong reports whether the coefficient has more than maxDigits digits: what parseNum would refuse to read back.
func (n num) tooLong() bool {
	if n.two {
		return n.scale > twoScaleMax || n.big != nil && n.big.BitLen() > twoBitsMax
	}
	return n.big != nil && n.big.CmpAbs(tooLarge) >= 0
}

var tooLarge = new(big.Int).Exp(big.NewInt(10), big.NewInt(maxDigits), nil)

func (n num) String() string {
	if n.isInt64() {
		return strconv.FormatInt(n.small, 10)
	}
	if n.two {
		n = n.decimal()
	}
	s := new(big.Int).Abs(n.coef()).String()
	if n.scale > 0 {
		if pad := n.scale + 1 - len(s); pad > 0 {
			s = strings.Repeat("0", pad) + s
		}
		s = s[:len(s)-n.scale] + "." + s[len(s)-n.scale:]
	}
	if n.coef().Sign() < 0 {
		s = "-" + s
	}
	return s
}

// parseInt reads a canonical 64-bit integer: no space, no plus sign, no leading zero.
func parseInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	d := b
	if d[0] == '-' {
		d = d[1:]
	}
	if len(d) == 0 || d[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var u uint64
	for _, c := range d {
		if c < '0' || c > '9' || u > (1<<64-1)/10 {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	switch neg := len(d) != len(b); {
	case neg && u <= 1<<63:
		return -int64(u), true
	case !neg && u < 1<<63 && len(d) < 20:
		return int64(u), true
	}
	return 0, false
}

// parseNum reads a decimal with an optional fraction and exponent. Fraction digits beyond maxScale are
// rounded to nearest, ties to even.
func parseNum(s string) (num, error) {
	if i, ok := parseInt([]byte(s)); ok {
		return num{small: i}, nil
	}
	mant, exp, err := splitExponent(s)
	if err != nil {
		return num{}, err
	}
	mant, neg := strings.CutPrefix(mant, "-")
	if !neg {
		mant = strings.TrimPrefix(mant, "+")
	}
	whole, frac, _ := strings.Cut(mant, ".")
	digits := whole + frac
	if digits == "" || len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" {
		return num{}, ErrNotNumber
	}
	c, _ := new(big.Int).SetString(digits, 10)
	if neg {
		c.Neg(c)
	}
	return rescale(c, len(frac)-exp)
}

func splitExponent(s string) (mant string, exp int, err error) {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return s, 0, nil
	}
	exp, err = strconv.Atoi(s[i+1:])
	if err != nil || exp > maxDigits || exp < -maxDigits {
		return "", 0, ErrNotNumber
	}
	return s[:i], exp, nil
}

func rescale(c *big.Int, scale int) (num, error) {
	ten := big.NewInt(10)
	if scale < 0 {
		c = c.Mul(c, new(big.Int).Exp(ten, big.NewInt(int64(-scale)), nil))
		scale = 0
	}
	if scale > maxScale {
		p := new(big.Int).Exp(ten, big.NewInt(int64(scale-maxScale)), nil)
		c, scale = divRound(c, p), maxScale
	}
	n := fit(c, scale)
	if n.tooLong() {
		return num{}, ErrOverflow
	}
	return n, nil
}

// divRound divides to nearest, ties to even.
func divRound(c, p *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(c, p, new(big.Int))
	twice := new(big.Int).Lsh(new(big.Int).Abs(r), 1)
	if cmp := twice.Cmp(p); cmp > 0 || cmp == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(c.Sign())))
	}
	return q
}
