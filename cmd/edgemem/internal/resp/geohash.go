package resp

import (
	"math"
	"math/bits"
)

// Positions on the earth as scores of a sorted set, as Redis keeps them: 26 bits of latitude and 26 of longitude in turn, so
// that a box on the map is a range of scores, and the nine boxes around a place cover what is near it. The earth is a sphere, and the poles are cut off
// where Web Mercator ends (EPSG:3857).
const (
	lonMax = 180.0
	latMax = 85.05112878

	earthMeters    = 6372797.560856
	mercatorMeters = 20037726.37
	geoSteps       = 26
)

// place is a position in degrees.
type place struct{ lon, lat float64 }

// arc is a range of degrees.
type arc struct{ min, max float64 }

var (
	lonSpan = arc{-lonMax, lonMax}
	latSpan = arc{-latMax, latMax}
)

// cellCode is a box of the map: the first bits of both coordinates. No steps: none.
type cellCode struct {
	bits  uint64
	steps uint
}

// encodePlace gives the box of so many steps that a place lies in.
func encodePlace(p place, lon, lat arc, steps uint) cellCode {
	scale := float64(uint64(1) << steps)
	y := uint32(int64((p.lat - lat.min) / (lat.max - lat.min) * scale))
	x := uint32(int64((p.lon - lon.min) / (lon.max - lon.min) * scale))
	return cellCode{spread(y) | spread(x)<<1, steps}
}

// score is the place's in a sorted set.
func (p place) score() float64 { return float64(encodePlace(p, lonSpan, latSpan, geoSteps).bits) }

// placeOf is the middle of the box that a score stands for.
func placeOf(score float64) place {
	area := cellCode{scoreBits(score), geoSteps}.area()
	return place{clamp((area.lon.min+area.lon.max)/2, lonSpan), clamp((area.lat.min+area.lat.max)/2, latSpan)}
}

// scoreBits is a score as C turns it into an unsigned integer on amd64; of those that are no position Redis answers something as well.
func scoreBits(score float64) uint64 {
	if score >= math.MaxInt64 {
		return uint64(int64(score-(1<<63))) ^ 1<<63
	}
	return uint64(int64(score))
}

func clamp(x float64, s arc) float64 { return min(max(x, s.min), s.max) }

type area struct{ lon, lat arc }

func (c cellCode) area() area {
	return area{c.side(uint32(gather(c.bits>>1)), lonSpan), c.side(uint32(gather(c.bits)), latSpan)}
}

func (c cellCode) side(i uint32, s arc) arc {
	scale, width := float64(uint64(1)<<c.steps), s.max-s.min
	return arc{s.min + float64(i)/scale*width, s.min + (float64(i)+1)/scale*width}
}

// spread puts a zero before each bit.
func spread(x uint32) uint64 {
	v := uint64(x)
	v = (v | v<<16) & 0x0000ffff0000ffff
	v = (v | v<<8) & 0x00ff00ff00ff00ff
	v = (v | v<<4) & 0x0f0f0f0f0f0f0f0f
	v = (v | v<<2) & 0x3333333333333333
	return (v | v<<1) & 0x5555555555555555
}

// gather undoes spread.
func gather(v uint64) uint64 {
	v &= 0x5555555555555555
	v = (v | v>>1) & 0x3333333333333333
	v = (v | v>>2) & 0x0f0f0f0f0f0f0f0f
	v = (v | v>>4) & 0x00ff00ff00ff00ff
	v = (v | v>>8) & 0x0000ffff0000ffff
	return (v | v>>16) & 0x00000000ffffffff
}

const (
	evenBits = 0x5555555555555555
	oddBits  = 0xaaaaaaaaaaaaaaaa
)

// moved is the box so many to the east and to the north, each -1 to 1. The map is a torus, but along a side that is not moved:
// the last meridian and the last parallel have boxes of their own beyond it.
func (c cellCode) moved(east, north int) cellCode {
	shift := 64 - 2*c.steps
	x := step(c.bits&oddBits, uint64(evenBits)>>shift, oddBits>>shift, east)
	y := step(c.bits&evenBits, uint64(oddBits)>>shift, evenBits>>shift, north)
	return cellCode{x | y, c.steps}
}

// step adds d to a number of which every second bit counts, those of mask; the others are in rest.
func step(v, rest, mask uint64, d int) uint64 {
	switch d {
	case 1:
		return (v + rest + 1) & mask
	case -1:
		return ((v | rest) - (rest + 1)) & mask
	}
	return v
}

// scores is the range of scores of a box; to is not in it.
func (c cellCode) scores() (from, to float64) {
	shift := 2 * (geoSteps - c.steps)
	return float64(c.bits << shift), float64((c.bits + 1) << shift)
}

// distance is that of two places in metres, by the haversine formula.
func distance(a, b place) float64 {
	aLat, bLat := radians(a.lat), radians(b.lat)
	v := math.Sin((radians(b.lon) - radians(a.lon)) / 2)
	if v == 0 {
		return earthMeters * math.Abs(bLat-aLat)
	}
	u := math.Sin((bLat - aLat) / 2)
	return 2 * earthMeters * math.Asin(math.Sqrt(u*u+math.Cos(aLat)*math.Cos(bLat)*v*v))
}

func radians(degrees float64) float64 { return degrees * (math.Pi / 180) }
func degrees(radians float64) float64 { return radians / (math.Pi / 180) }

// shape is what is looked for: a circle, or a box of which the sides lie along the meridians. Lengths are in units of so many metres.
type shape struct {
	center        place
	box           bool
	radius        float64
	width, height float64
	unit          float64
}

// holds says whether a place lies in the shape, and how far from its middle.
func (s shape) holds(p place) (meters float64, ok bool) {
	if s.box {
		if distance(p, place{s.center.lon, p.lat}) > s.width*s.unit/2 || distance(p, place{p.lon, s.center.lat}) > s.height*s.unit/2 {
			return 0, false
		}
		return distance(s.center, p), true
	}
	meters = distance(s.center, p)
	return meters, meters <= s.radius*s.unit
}

// bounds is the box around the shape; where the meridians come together it is as wide as the shape is at its wider end.
func (s shape) bounds() area {
	height, width := s.radius*s.unit, s.radius*s.unit
	if s.box {
		height, width = s.height/2*s.unit, s.width/2*s.unit
	}
	lat := degrees(height / earthMeters)
	edge := s.center.lat + lat
	if s.center.lat < 0 {
		edge = s.center.lat - lat
	}
	lon := degrees(width / earthMeters / math.Cos(radians(edge)))
	return area{arc{s.center.lon - lon, s.center.lon + lon}, arc{s.center.lat - lat, s.center.lat + lat}}
}

// reach is how far the shape goes from its middle, in metres.
func (s shape) reach() float64 {
	if s.box {
		return math.Sqrt(s.width/2*(s.width/2)+s.height/2*(s.height/2)) * s.unit
	}
	return s.radius * s.unit
}

// stepsFor is how small the nine boxes may be that cover what is so near.
func stepsFor(meters, lat float64) uint {
	if meters == 0 {
		return geoSteps
	}
	steps := 1
	for ; meters < mercatorMeters; meters *= 2 {
		steps++
	}
	steps -= 2 // so that the range is within them in most cases
	if math.Abs(lat) > 66 {
		steps--
	}
	if math.Abs(lat) > 80 {
		steps--
	}
	return uint(min(max(steps, 1), geoSteps))
}

// around is the order in which the boxes are searched: the middle, then what lies to the north, south, east, west, north-east, north-west,
// south-east and south-west of it. Redis answers in this order where it does not sort.
var around = [9][2]int{{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}}

// cover gives the boxes that hold the shape, each once.
func (s shape) cover() []cellCode {
	bounds, steps := s.bounds(), stepsFor(s.reach(), s.center.lat)
	middle := encodePlace(s.center, lonSpan, latSpan, steps)
	if steps > 1 && !reaches(middle, bounds) {
		steps--
		middle = encodePlace(s.center, lonSpan, latSpan, steps)
	}
	in := middle.area()
	var out []cellCode
	for _, d := range around {
		if steps >= 2 && (d[1] < 0 && in.lat.min < bounds.lat.min || d[1] > 0 && in.lat.max > bounds.lat.max ||
			d[0] < 0 && in.lon.min < bounds.lon.min || d[0] > 0 && in.lon.max > bounds.lon.max) {
			continue // the middle reaches as far as the shape on that side
		}
		c := middle.moved(d[0], d[1])
		if n := len(out); n > 1 && c == out[n-1] { // of a huge shape neighbours may be one; the one behind the middle is not compared, as in Redis
			continue
		}
		out = append(out, c)
	}
	return out
}

// reaches says whether the boxes beside the middle go as far as the bounds; of bounds that are no numbers they do.
func reaches(middle cellCode, bounds area) bool {
	return !(middle.moved(0, 1).area().lat.max < bounds.lat.max || middle.moved(0, -1).area().lat.min > bounds.lat.min ||
		middle.moved(1, 0).area().lon.max < bounds.lon.max || middle.moved(-1, 0).area().lon.min > bounds.lon.min)
}

// geohash is a place's standard geohash of eleven characters, the last always 0: 52 bits fill ten.
func (p place) geohash() string {
	const alphabet = "0123456789bcdefghjkmnpqrstuvwxyz"
	code := encodePlace(p, lonSpan, arc{-90, 90}, geoSteps).bits
	var out [11]byte
	for i := range out {
		out[i] = alphabet[0]
		if i < 10 {
			out[i] = alphabet[bits.RotateLeft64(code, -(52-(i+1)*5))&31]
		}
	}
	return string(out[:])
}
