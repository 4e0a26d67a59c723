package crdt

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
)

// A binary fraction is coefficient × 2^-scale, with a scale above 0 and an odd coefficient; integers are the same in both bases.
// Every finite float64 is one. The sum of floats is exact in it, and rounded once, when it is read.

// A float64 has up to 1074 digits behind the point and 1024 before it. A contribution is a sum of floats, of which an
// origin never adds more than 2^63.
const (
	twoScaleMax = 1074
	twoBitsMax  = 1024 + 1074 + 64
	twoBytesMax = twoBitsMax/8 + 1
)

// numOf is a finite float64.
func numOf(f float64) num {
	if i := int64(f); float64(i) == f && i < 1<<53 && i > -1<<53 {
		return num{small: i}
	}
	frac, exp := math.Frexp(f)
	m := int64(frac * (1 << 53))
	exp -= 53
	zeros := bits.TrailingZeros64(uint64(m))
	m, exp = m>>zeros, exp+zeros
	if exp >= 0 {
		return fit(new(big.Int).Lsh(big.NewInt(m), uint(exp)), 0)
	}
	return num{small: m, scale: -exp, two: true}
}

// float rounds to the nearest float64, ties to even.
func (n num) float() float64 {
	if n.big == nil && n.scale == 0 {
		return float64(n.small)
	}
	if n.scale > 0 && !n.two { // no version writes it in a score
		f, _ := new(big.Rat).SetFrac(n.coef(), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n.scale)), nil)).Float64()
		return f
	}
	x := new(big.Float).SetInt(n.coef())
	f, _ := x.SetMantExp(x, -n.scale).Float64()
	return f
}

// fitTwo gives the smallest form.
func fitTwo(c *big.Int, scale int) num {
	if zeros := min(int(c.TrailingZeroBits()), scale); zeros > 0 {
		c, scale = new(big.Int).Rsh(c, uint(zeros)), scale-zeros
	}
	if c.Sign() == 0 {
		return num{}
	}
	n := num{scale: scale, two: scale > 0}
	if c.IsInt64() {
		n.small = c.Int64()
	} else {
		n.big = c
	}
	return n
}

// addTwo adds where one is a binary fraction. Where the other is a decimal one, which no version writes together, the sum is.
func addTwo(n, m num) num {
	if n.two != m.two && n.scale > 0 && m.scale > 0 {
		return n.decimal().add(m.decimal())
	}
	scale := max(n.scale, m.scale)
	x := new(big.Int).Lsh(n.coef(), uint(scale-n.scale))
	return fitTwo(x.Add(x, new(big.Int).Lsh(m.coef(), uint(scale-m.scale))), scale)
}

// decimal is the same number as a decimal: 2^-s is 5^s × 10^-s.
func (n num) decimal() num {
	if !n.two {
		return n
	}
	p := new(big.Int).Exp(big.NewInt(5), big.NewInt(int64(n.scale)), nil)
	return fit(p.Mul(p, n.coef()), n.scale)
}

// appendTwo writes the scale, the length and sign, and the coefficient's bytes.
func appendTwo(b []byte, n num) []byte {
	m := n.coef()
	b = binary.AppendUvarint(b, uint64(n.scale))
	head := uint64((m.BitLen()+7)/8) << 1
	if m.Sign() < 0 {
		head |= 1
	}
	b = binary.AppendUvarint(b, head)
	return append(b, m.Bytes()...)
}

func (d *decoder) two() num {
	scale, head := d.uvarint(), d.uvarint()
	if scale == 0 || scale > twoScaleMax || head>>1 > twoBytesMax {
		d.fail("a counter has a binary fraction of scale %d in %d bytes", scale, head>>1)
		return num{}
	}
	m := new(big.Int).SetBytes(d.take(int(head >> 1)))
	if head&1 != 0 {
		m.Neg(m)
	}
	n := fitTwo(m, int(scale))
	if n.tooLong() {
		d.fail("a counter has a binary fraction of %d bits", m.BitLen())
		return num{}
	}
	return n
}
