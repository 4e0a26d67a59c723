package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
)

// screen is what people see: steps, and under each what was done. Colour only on a terminal that wants it.
type screen struct {
	w        io.Writer
	terminal bool
	colour   bool
	step     int
}

func newScreen(w io.Writer) *screen {
	f, isFile := w.(*os.File)
	terminal := isFile && isatty.IsTerminal(f.Fd())
	_, noColour := os.LookupEnv("NO_COLOR")
	return &screen{w: w, terminal: terminal, colour: terminal && !noColour && os.Getenv("TERM") != "dumb"}
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	indent = "   "
)

func (s *screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) title(text string) { fmt.Fprintf(s.w, "%s\n", s.paint(bold, text)) }

func (s *screen) begin(format string, args ...any) {
	s.step++
	fmt.Fprintf(s.w, "\n%s  %s\n", s.paint(dim, fmt.Sprint(s.step)), s.paint(bold, fmt.Sprintf(format, args...)))
}

func (s *screen) ok(format string, args ...any) {
	fmt.Fprintf(s.w, "%s%s %s\n", indent, s.paint(green, "✓"), fmt.Sprintf(format, args...))
}

func (s *screen) bad(format string, args ...any) {
	fmt.Fprintf(s.w, "%s%s %s\n", indent, s.paint(red, "✗"), fmt.Sprintf(format, args...))
}

func (s *screen) note(format string, args ...any) {
	fmt.Fprintf(s.w, "%s%s\n", indent, s.paint(dim, fmt.Sprintf(format, args...)))
}

func (s *screen) line(text string) { fmt.Fprintf(s.w, "%s%s\n", indent, text) }

// table prints rows in columns; the first row is the head. Cells that a painter colours keep their
// width, which text/tabwriter would count wrongly.
func (s *screen) table(rows [][]string, paint func(row, col int, text string) string) {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, r := range rows {
		var b strings.Builder
		for i, cell := range r {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if n == 0 {
				cell = s.paint(dim, cell)
			} else if paint != nil {
				cell = paint(n, i, cell)
			}
			b.WriteString(cell + pad + "  ")
		}
		s.line(strings.TrimRight(b.String(), " "))
	}
}

// linesEvery is how often progress is told where there is no terminal to draw on.
const linesEvery = 10_000

// progress counts things of unknown number: a bar that moves on a terminal, else a line now and then.
type progress struct {
	screen *screen
	bar    *progressbar.ProgressBar
	what   string
	n      int
}

func (s *screen) progress(what string) *progress {
	p := &progress{screen: s, what: what}
	if s.terminal {
		p.bar = progressbar.NewOptions(-1,
			progressbar.OptionSetWriter(s.w), progressbar.OptionSetDescription(indent+what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("record"),
			progressbar.OptionThrottle(50*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionSpinnerType(14), progressbar.OptionSetElapsedTime(false))
	}
	return p
}

// reach says that n things are done.
func (p *progress) reach(n int) {
	before := p.n
	p.n = n
	switch {
	case p.bar != nil:
		_ = p.bar.Set(n) // a bar that cannot be drawn is no reason to stop
	case before/linesEvery != n/linesEvery:
		p.screen.note("%s: %s", p.what, count(n/linesEvery*linesEvery))
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish() // as above
	}
}

func count(n int) string { return humanize.Comma(int64(n)) }

func size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// span shows a time with the digits that mean something.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}
