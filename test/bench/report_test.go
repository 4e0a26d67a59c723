package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// fixed is a side that gives the next of its figures at each round.
func fixed(name string, calls *[]string, figures ...float64) side {
	i := 0
	return side{name, func(context.Context) (values, error) {
		*calls = append(*calls, name)
		if i == len(figures) {
			return nil, errors.New("out of figures")
		}
		i++
		return values{"x": figures[i-1]}, nil
	}}
}

func measureFixed(t *testing.T, f figure, sides ...side) measured {
	t.Helper()
	f.key = "x"
	r := row{name: "row", rounds: 3, figures: []figure{f}, open: func(context.Context, *env) ([]side, func(), error) {
		return sides, nil, nil
	}}
	return r.measure(t.Context(), &env{out: io.Discard})[0]
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	twice := figure{refs: []string{redisName}, met: atLeastTimes(2), unit: opsPerSecond}
	alone := figure{met: atMost(10), unit: seconds}
	for _, c := range []struct {
		name      string
		figure    figure
		ref, ours []float64
		verdict   string
		ratio     float64
	}{
		{"median reaches", twice, []float64{10, 1, 100}, []float64{20, 1000, 1}, met, 2},
		{"median falls short", twice, []float64{10, 10, 10}, []float64{19, 19, 1000}, fallShort, 1.9},
		{"no reference needed", alone, nil, []float64{9, 11, 10}, met, 0},
		{"over the limit", alone, nil, []float64{9, 11, 10.5}, fallShort, 0},
		{"nothing to reach", figure{unit: seconds}, nil, []float64{1, 2, 3}, shown, 0},
		{"edgemem fails in the second round", alone, nil, []float64{1}, failed, 0},
		{"the reference fails", twice, nil, []float64{1, 2, 3}, failed, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var calls []string
			var sides []side
			if len(c.figure.refs) > 0 {
				sides = append(sides, fixed(redisName, &calls, c.ref...))
			}
			m := measureFixed(t, c.figure, append(sides, fixed(edgemem, &calls, c.ours...))...)
			if m.Verdict != c.verdict || m.Ratio != c.ratio {
				t.Errorf("got %s with ratio %v, want %s with %v", m.Verdict, m.Ratio, c.verdict, c.ratio)
			}
		})
	}
}

func TestSidesTakeTurns(t *testing.T) {
	t.Parallel()
	var calls []string
	measureFixed(t, figure{unit: seconds}, fixed("a", &calls, 1, 1, 1), fixed("b", &calls, 1), fixed(edgemem, &calls, 1, 1, 1))
	if got, want := strings.Join(calls, " "), "a b edgemem a b edgemem a edgemem"; got != want {
		t.Errorf("order %q, want %q: a side that failed once is left out", got, want)
	}
}

func TestReportForms(t *testing.T) {
	t.Parallel()
	var calls []string
	rep := newReport(options{short: true})
	rep.Rows = append(rep.Rows, measureFixed(t, figure{title: "writes", unit: opsPerSecond, refs: []string{redisName}, met: atLeastTimes(1)},
		fixed(redisName, &calls, 1e5, 1e5, 1e5), fixed(edgemem, &calls, 2e6, 2e6, 2e6)))
	rep.Rows = append(rep.Rows, row{name: "later", figures: []figure{{title: "to come", unit: trips}}}.measure(t.Context(), nil)...)
	var table, text bytes.Buffer
	if err := errors.Join(rep.write(&table, "table"), rep.write(&text, "json")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"redis 100.0 k/s", "2.00 M/s", "20.00", "met", "not yet", "-short"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, &table)
		}
	}
	var back report
	if err := json.Unmarshal(text.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if got := back.Rows[0].Rounds[edgemem]; len(got) != 3 || got[0] != 2e6 {
		t.Errorf("JSON has the rounds %v", got)
	}
	if err := rep.failed(); err != nil {
		t.Errorf("a row that is not there yet fails the run: %v", err)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-run", "("}, {"-o", "xml"}, {"-rounds", "-1"}, {"rows"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
	if err := run(t.Context(), []string{"-run", "no such row"}, io.Discard, io.Discard); err == nil {
		t.Error("a pattern that matches no row is accepted")
	}
}

func TestRowsAreNamedApart(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range allRows() {
		if seen[r.name] {
			t.Errorf("two rows are called %s", r.name)
		}
		seen[r.name] = true
		for _, f := range r.figures {
			if f.title == "" || f.unit.format == nil || (f.met != nil && f.reach == "") {
				t.Errorf("%s: figure %q lacks a title, a unit or the words of its aim", r.name, f.key)
			}
		}
	}
}

func TestReadBenchmark(t *testing.T) {
	t.Parallel()
	got, err := readBenchmark("\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"123.50\",\"0.2\"\n\"HSET\",\"7\",\"0.1\"\n")
	if err != nil || got["set"] != 123.5 || got["hset"] != 7 || len(got) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "\"SET\",\"fast\"\n", "\"SET"} {
		if _, err := readBenchmark(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
