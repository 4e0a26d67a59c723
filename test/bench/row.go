package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// values are what one side measured in one round, by figure key, in the figure's unit.
type values map[string]float64

// A side is one of the programs that a row compares.
type side struct {
	name string
	run  func(context.Context) (values, error)
}

const edgemem = "edgemem"

// A figure is one line of the table.
type figure struct {
	key   string
	title string
	unit  unit
	refs  []string // the sides to print as reference; the first is what met compares with
	reach string   // the aim, in words
	// met says whether got reaches the aim; ref is 0 where there is no reference. Nil: shown only.
	met func(ref, got float64) bool
}

// A row is one experiment. open starts what its rounds share and gives the sides; it is nil for rows
// whose feature is not there yet.
type row struct {
	name    string
	rounds  int // own number of rounds; 0 is 1
	figures []figure
	open    func(ctx context.Context, e *env) (sides []side, done func(), err error)
}

// measured is the outcome of one figure.
type measured struct {
	Row        string               `json:"row"`
	Figure     string               `json:"figure"`
	Unit       string               `json:"unit"`
	Reach      string               `json:"reach"`
	References []string             `json:"references,omitempty"`
	Medians    map[string]float64   `json:"medians,omitempty"` // by side
	Rounds     map[string][]float64 `json:"rounds,omitempty"`  // by side
	Ratio      float64              `json:"ratio,omitempty"`   // edgemem to the first reference
	Verdict    string               `json:"verdict"`
	Fault      string               `json:"fault,omitempty"`

	unit unit
}

const (
	met       = "met"
	fallShort = "short"
	notYet    = "not yet"
	shown     = "–"
	failed    = "failed"
)

// measure runs the row and gives one outcome per figure.
func (r row) measure(ctx context.Context, e *env) []measured {
	if r.open == nil {
		return r.outcomes(nil, nil)
	}
	began := time.Now()
	taken, err := r.takeRounds(ctx, e)
	if err != nil {
		e.log("%s: %v", r.name, err)
	}
	e.log("%s: %.1f s", r.name, time.Since(began).Seconds())
	return r.outcomes(taken, err)
}

// takeRounds gives what each side measured, round by round: side, key, rounds.
func (r row) takeRounds(ctx context.Context, e *env) (map[string]map[string][]float64, error) {
	sides, done, err := r.open(ctx, e)
	if done != nil {
		defer done()
	}
	if err != nil {
		return nil, err
	}
	taken, faults := make(map[string]map[string][]float64), make(map[string]error)
	rounds := e.rounds(r.rounds)
	for i := range rounds {
		for _, s := range sides {
			if faults[s.name] != nil || ctx.Err() != nil {
				continue // the others are measured all the same
			}
			e.log("%s: round %d of %d, %s", r.name, i+1, rounds, s.name)
			got, err := s.run(ctx)
			if err != nil {
				faults[s.name] = fmt.Errorf("%s: %w", s.name, err)
				continue
			}
			if taken[s.name] == nil {
				taken[s.name] = make(map[string][]float64)
			}
			for k, v := range got {
				taken[s.name][k] = append(taken[s.name][k], v)
			}
		}
	}
	return taken, errors.Join(append(slices.Collect(maps.Values(faults)), ctx.Err())...)
}

func (r row) outcomes(taken map[string]map[string][]float64, fault error) []measured {
	var out []measured
	for _, f := range r.figures {
		m := measured{
			Row: r.name, Figure: f.title, Unit: f.unit.name, Reach: f.reach, References: f.refs, unit: f.unit,
			Medians: make(map[string]float64), Rounds: make(map[string][]float64),
		}
		for _, s := range append(slices.Clone(f.refs), edgemem) {
			if got := taken[s][f.key]; len(got) > 0 {
				m.Rounds[s], m.Medians[s] = got, median(got)
			}
		}
		m.judge(f, r.open == nil, fault)
		out = append(out, m)
	}
	return out
}

func (m *measured) judge(f figure, pending bool, fault error) {
	got, have := m.Medians[edgemem]
	ref, haveRef := 0.0, false
	if len(f.refs) > 0 {
		ref, haveRef = m.Medians[f.refs[0]]
	}
	if have && haveRef && ref != 0 {
		m.Ratio = got / ref
	}
	switch {
	case pending:
		m.Verdict = notYet
	case fault != nil:
		m.Verdict, m.Fault = failed, fault.Error()
	case !have:
		m.Verdict, m.Fault = failed, "edgemem gave no such figure"
	case len(f.refs) > 0 && !haveRef:
		m.Verdict, m.Fault = failed, f.refs[0]+" gave no such figure"
	case f.met == nil:
		m.Verdict = shown
	case f.met(ref, got):
		m.Verdict = met
	default:
		m.Verdict = fallShort
	}
}

// median of an even number is the mean of the middle two.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	mid := len(s) / 2
	if len(s)%2 == 1 {
		return s[mid]
	}
	return (s[mid-1] + s[mid]) / 2
}

func atLeast(x float64) func(ref, got float64) bool {
	return func(_, got float64) bool { return got >= x }
}

func atMost(x float64) func(ref, got float64) bool {
	return func(_, got float64) bool { return got <= x }
}

func atLeastTimes(x float64) func(ref, got float64) bool {
	return func(ref, got float64) bool { return got >= x*ref }
}

func atMostTimes(x float64) func(ref, got float64) bool {
	return func(ref, got float64) bool { return got <= x*ref }
}
