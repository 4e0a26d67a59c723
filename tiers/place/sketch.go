package place

// The size of a Sketch: 2 KiB. With sketchRows of sketchWide counters an estimate is beyond the truth by more than 1/94 of all that was
// counted since with a chance of at most e^-4.
const (
	sketchRows = 4
	sketchWide = 256
	sketchMax  = 1<<16 - 1
	// sketchAge is after how many additions all counts halve, so that what was hot once does not stay so.
	sketchAge = 16 * sketchWide
)

// Sketch estimates how often each of any number of keys was used of late: a count-min sketch with conservative update, whose counts
// halve as uses go by. Its zero value is ready. It never says less than what was counted since the last halving.
type Sketch struct {
	rows  [sketchRows][sketchWide]uint16
	added int
}

// Add counts one use of a key, given by a hash of 64 good bits.
func (s *Sketch) Add(key uint64) {
	next := s.Count(key) + 1
	for i := range s.rows {
		if c := s.cell(i, key); *c < uint16(min(next, sketchMax)) {
			*c = uint16(min(next, sketchMax))
		}
	}
	if s.added++; s.added >= sketchAge {
		s.halve()
	}
}

// Count estimates a key's uses.
func (s *Sketch) Count(key uint64) int {
	least := sketchMax
	for i := range s.rows {
		least = min(least, int(*s.cell(i, key)))
	}
	return least
}

// Total is how many uses the counts stand for, about.
func (s *Sketch) Total() int { return s.added }

func (s *Sketch) cell(row int, key uint64) *uint16 {
	return &s.rows[row][mix(key+uint64(row))%sketchWide]
}

func (s *Sketch) halve() {
	for i := range s.rows {
		for j := range s.rows[i] {
			s.rows[i][j] /= 2
		}
	}
	s.added /= 2
}
