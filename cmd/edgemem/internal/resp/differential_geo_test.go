package resp

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// closeInSpace allows for the last bits of sines, which the two servers' libraries compute differently: distances of four
// fraction digits may be rounded apart.
func closeInSpace(args []string, ours, redis value) bool {
	if !strings.HasPrefix(strings.ToLower(args[0]), "geo") || ours.kind != redis.kind || len(ours.items) != len(redis.items) {
		return false
	}
	for i := range ours.items {
		if !closeInSpace(args, ours.items[i], redis.items[i]) {
			return false
		}
	}
	if ours.text == redis.text {
		return true
	}
	a, errA := strconv.ParseFloat(ours.text, 64)
	b, errB := strconv.ParseFloat(redis.text, 64)
	return errA == nil && errB == nil && fourDigits(ours.text) && fourDigits(redis.text) && math.Abs(a-b) < 0.00015
}

func fourDigits(s string) bool { return strings.IndexByte(s, '.') == len(s)-5 }

// near gives a coordinate in a region of the map that is often the same one, so that searches find something.
func (m maker) lonLat() []string {
	switch m.r.IntN(12) {
	case 0: // an edge of the map, or beyond it; no place twice, since Redis has no order for members that are equally far
		if m.r.IntN(2) == 0 {
			return []string{m.pick("180", "-180", "181", "x", "nan", "inf", "1e3"), fmt.Sprintf("%.9f", m.r.Float64()*170-85)}
		}
		return []string{fmt.Sprintf("%.9f", m.r.Float64()*360-180), m.pick("85.05112878", "-85.05112878", "86", "-90.5", "y")}
	case 1:
		return []string{fmt.Sprintf("%.6f", m.r.Float64()*360-180), fmt.Sprintf("%.6f", m.r.Float64()*170-85)}
	case 2: // where the meridians come together, and where the map ends
		return []string{fmt.Sprintf("%.9f", 179.9+m.r.Float64()/10), fmt.Sprintf("%.9f", m.pickFloat(70, 82, -70, -82)+m.r.Float64())}
	case 3:
		return []string{fmt.Sprintf("%.9f", m.r.Float64()-0.5), fmt.Sprintf("%.9f", m.r.Float64()-0.5)}
	}
	return []string{fmt.Sprintf("%.9f", 13+m.r.Float64()*3), fmt.Sprintf("%.9f", 37+m.r.Float64()*2)}
}

func (m maker) pickFloat(from ...float64) float64 { return from[m.r.IntN(len(from))] }

func (m maker) geoKey() string {
	return m.pick("geo:1", "geo:1", "geo:1", "geo:2", "geo:none", "geo:text")
}
func (m maker) unit() string { return m.pick("m", "km", "KM", "ft", "mi", "m", "km", "yd", "") }
func (m maker) radius() string {
	return m.pick("100", "200000", "30", "1", "0", "50.5", "1e4", "2e7", "500", "-1", "x", "inf")
}

func (m maker) geoMember() string { return fmt.Sprint("p", m.r.IntN(60)) }

func (m maker) geoOptions(store bool) []string {
	out := m.upTo(4, func() string {
		return m.pick("WITHDIST", "withcoord", "WITHHASH", "asc", "DESC", "any", "count 3", "COUNT 1", "count 0", "count x", "bad", "asc", "withdist")
	})
	if store && m.r.IntN(3) == 0 {
		out = append(out, m.pick("store geo:2", "STOREDIST geo:dist", "store", "storedist geo:dist"))
	}
	return strings.Fields(strings.Join(out, " "))
}

func (m maker) geoShape() []string {
	from := append([]string{"FROMLONLAT"}, m.lonLat()...)
	if m.r.IntN(3) == 0 {
		from = []string{"frommember", m.geoMember()}
	}
	by := []string{"BYRADIUS", m.radius(), m.unit()}
	if m.r.IntN(2) == 0 {
		by = []string{"bybox", m.radius(), m.radius(), m.unit()}
	}
	parts := [][]string{from, by, m.geoOptions(false)}
	if m.r.IntN(10) == 0 {
		parts[m.r.IntN(2)] = m.pickList([]string{"fromlonlat", "1"}, nil, append(slices.Clone(from), by...))
	}
	m.r.Shuffle(3, func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return slices.Concat(parts...)
}

func (m maker) pickList(from ...[]string) []string { return from[m.r.IntN(len(from))] }

func (m maker) geoCommand() []string {
	switch m.r.IntN(12) {
	case 0, 1, 2:
		args := append([]string{"geoadd", m.geoKey()}, m.upTo(2, func() string { return m.pick("NX", "xx", "CH", "ch", "ch") })...)
		for range 1 + m.r.IntN(4) {
			args = append(append(args, m.lonLat()...), m.geoMember())
		}
		return args[:len(args)-m.r.IntN(8)/7]
	case 3:
		return append([]string{"geopos", m.geoKey()}, m.several(3, m.geoMember)...)
	case 4:
		return append([]string{"geohash", m.geoKey()}, m.several(3, m.geoMember)...)
	case 5:
		return append([]string{"geodist", m.geoKey(), m.geoMember(), m.geoMember()}, m.upTo(1, m.unit)...)
	case 6:
		return slices.Concat([]string{m.pick("georadius", "GEORADIUS_RO"), m.geoKey()}, m.lonLat(), []string{m.radius(), m.unit()}, m.geoOptions(true))
	case 7:
		return slices.Concat([]string{m.pick("georadiusbymember", "georadiusbymember_ro"), m.geoKey(), m.geoMember(), m.radius(), m.unit()}, m.geoOptions(true))
	case 8:
		args := slices.Concat([]string{"geosearchstore", m.pick("geo:2", "geo:2", "geo:text"), m.geoKey()}, m.geoShape())
		if m.r.IntN(3) == 0 {
			args = append(args, "storedist")
			args[1] = "geo:dist"
		}
		return args
	case 9:
		return []string{m.pick("zrem", "zscore"), m.geoKey(), m.geoMember()}
	}
	return slices.Concat([]string{"geosearch", m.geoKey()}, m.geoShape())
}

func TestGeoAsRedisDoes(t *testing.T) {
	t.Parallel()
	asRedisDoes(t, func(b *both, m maker) {
		batch := [][]string{{"set", "geo:text", "x"}}
		for range differentialBatch {
			batch = append(batch, m.geoCommand())
		}
		b.run(append(batch, []string{"zrange", "geo:1", "0", "-1", "withscores"}))
		b.compareDistances("geo:dist")
	})
}

// compareDistances compares a sorted set of which the scores are distances, and removes it.
func (b *both) compareDistances(key string) {
	b.t.Helper()
	b.run([][]string{{"zcard", key}})
	ours, redis := scoresOf(b.ours, key), scoresOf(b.redis, key)
	for member, want := range redis {
		if got, there := ours[member]; !there || math.Abs(got-want) > 1e-6+want*1e-12 {
			b.t.Fatalf("%s of %s: edgemem %v, redis %v, after:\n%s", member, key, got, want, b.history())
		}
	}
	b.run([][]string{{"del", key}})
}

func scoresOf(p *peer, key string) map[string]float64 {
	out := make(map[string]float64)
	for _, item := range p.do("zrange", key, "0", "-1").items {
		out[item.text], _ = strconv.ParseFloat(p.do("zscore", key, item.text).text, 64)
	}
	return out
}

// TestGeohash: places whose geohash is known (geohash.org).
func TestGeohash(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		p    place
		want string
	}{{place{13.361389, 38.115556}, "sqc8b49rny0"}, {place{15.087269, 37.502669}, "sqdtr74hyu0"}, {place{0, 0}, "s0000000000"}} {
		if got := placeOf(x.p.score()).geohash(); got != x.want {
			t.Errorf("%v: %s, want %s", x.p, got, x.want)
		}
	}
	if d := distance(place{13.361389, 38.115556}, place{15.087269, 37.502669}); math.Abs(d-166274) > 1 {
		t.Errorf("Palermo to Catania: %.1f m", d)
	}
}

// FuzzGeoScores: a sorted set may hold any score, and a search any shape.
func FuzzGeoScores(f *testing.F) {
	f.Add(3479099956230698.0, 13.0, 38.0, 1e5, false)
	f.Add(math.Inf(-1), 179.999, -85.0, 2e7, true)
	f.Add(-1.5, 0.0, 0.0, 0.0, false)
	f.Fuzz(func(t *testing.T, score, lon, lat, size float64, box bool) {
		if math.IsNaN(score) || math.IsNaN(lon) || math.IsNaN(lat) || math.IsNaN(size) || size < 0 {
			return
		}
		p := placeOf(score)
		if p.lon < -lonMax || p.lon > lonMax || p.lat < -latMax || p.lat > latMax || len(p.geohash()) != 11 {
			t.Errorf("%v is at %v", score, p)
		}
		s := shape{center: place{clamp(lon, lonSpan), clamp(lat, latSpan)}, radius: size, width: size, height: size, box: box, unit: 1}
		boxes := s.cover()
		if len(boxes) == 0 || len(boxes) > 9 {
			t.Errorf("%d boxes", len(boxes))
		}
		for _, b := range boxes {
			if from, to := b.scores(); from >= to || from < 0 || to > 1<<54 { // the last meridian and parallel lie beyond 52 bits
				t.Errorf("box %+v: %v to %v", b, from, to)
			}
		}
		s.holds(p)
	})
}
