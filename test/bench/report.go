package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// A unit knows how to print a figure shortly.
type unit struct {
	name   string
	format func(float64) string
}

var (
	opsPerSecond = unit{"op/s", func(v float64) string { return metric(v) + "/s" }}
	nanoseconds  = unit{"ns", func(v float64) string { return fmt.Sprintf("%.0f ns", v) }}
	microseconds = unit{"µs", func(v float64) string { return fmt.Sprintf("%.0f µs", v) }}
	milliseconds = unit{"ms", func(v float64) string { return fmt.Sprintf("%.1f ms", v) }}
	seconds      = unit{"s", func(v float64) string { return fmt.Sprintf("%.2f s", v) }}
	bytesEach    = unit{"B", func(v float64) string { return fmt.Sprintf("%.0f B", v) }}
	bytesTotal   = unit{"B", kibibytes}
	bytesRate    = unit{"B/s", func(v float64) string { return fmt.Sprintf("%.1f B/s", v) }}
	percent      = unit{"%", func(v float64) string { return fmt.Sprintf("%.2f %%", v) }}
	times        = unit{"×", func(v float64) string { return fmt.Sprintf("%.2f ×", v) }}
	count        = unit{"", func(v float64) string { return fmt.Sprintf("%.4g", v) }}
	trips        = unit{"RTT", func(v float64) string { return fmt.Sprintf("%.1f RTT", v) }}
)

func metric(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.1f k", v/1e3)
	}
	return fmt.Sprintf("%.0f ", v)
}

func kibibytes(v float64) string {
	switch {
	case v >= 1<<20:
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	case v >= 1<<10:
		return fmt.Sprintf("%.1f KiB", v/(1<<10))
	}
	return fmt.Sprintf("%.0f B", v)
}

type report struct {
	Machine machine    `json:"machine"`
	Short   bool       `json:"short"`
	Rows    []measured `json:"rows"`
}

type machine struct {
	Time   time.Time `json:"time"`
	OS     string    `json:"os"`
	Arch   string    `json:"arch"`
	Kernel string    `json:"kernel"`
	Cores  int       `json:"cores"`
	Go     string    `json:"go"`
}

func newReport(o options) *report {
	return &report{Short: o.short, Machine: machine{
		Time: time.Now().UTC().Truncate(time.Second), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Kernel: kernel(), Cores: runtime.NumCPU(), Go: runtime.Version(),
	}}
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func (r *report) write(w io.Writer, form string) error {
	if form == "json" {
		return r.writeJSON(w)
	}
	return r.writeTable(w)
}

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func (r *report) saveTo(file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(r.writeJSON(f), f.Close())
}

func (r *report) writeTable(w io.Writer) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, %s/%s, Linux %s, %d cores, %s\n", m.Time.Format(time.RFC3339), m.OS, m.Arch, m.Kernel, m.Cores, m.Go)
	if r.Short {
		fmt.Fprintln(w, "-short: the sizes are small, and the figures say only that the rows run")
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "row\tfigure\treference\tedgemem\tratio\treach\tverdict")
	for _, m := range r.Rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Row, m.Figure, m.reference(), m.print(edgemem), m.ratio(), m.Reach, m.Verdict)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", r.summary())
	return nil
}

func (m measured) print(side string) string {
	v, ok := m.Medians[side]
	if !ok {
		return "–"
	}
	return m.unit.format(v)
}

func (m measured) reference() string {
	if len(m.References) == 0 {
		return "–"
	}
	var parts []string
	for _, s := range m.References {
		parts = append(parts, s+" "+m.print(s))
	}
	return strings.Join(parts, ", ")
}

func (m measured) ratio() string {
	if m.Ratio == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", m.Ratio)
}

func (r *report) summary() string {
	count := make(map[string]int)
	for _, m := range r.Rows {
		count[m.Verdict]++
	}
	return fmt.Sprintf("%d met, %d short, %d shown without an aim, %d not yet, %d failed",
		count[met], count[fallShort], count[shown], count[notYet], count[failed])
}

// failed is an error if a row did not run to its end. Falling short of an aim is not an error.
func (r *report) failed() error {
	var faults []error
	said := make(map[string]bool)
	for _, m := range r.Rows {
		if m.Verdict == failed && !said[m.Row+m.Fault] {
			said[m.Row+m.Fault] = true
			faults = append(faults, fmt.Errorf("%s: %s", m.Row, m.Fault))
		}
	}
	return errors.Join(faults...)
}
