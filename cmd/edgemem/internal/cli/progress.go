package cli

import (
	"encoding/json"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// meter shows how far long work is, on standard error: a bar on a terminal, and elsewhere one JSON object a line, now and then.
type meter struct {
	w     io.Writer
	work  string
	bar   *progressbar.ProgressBar // nil: lines
	began time.Time
	told  time.Time
	last  progressEvent
}

// progressEvent is one line.
type progressEvent struct {
	Event     string  `json:"event"` // progress
	Work      string  `json:"work"`
	Done      int64   `json:"done"`
	Of        int64   `json:"of"`
	Unit      string  `json:"unit"` // bytes, records or commands
	FileBytes int64   `json:"file_bytes"`
	Seconds   float64 `json:"seconds"`
}

// linesEvery is how often a line is written.
const linesEvery = time.Second

func newMeter(w io.Writer, work, unit string) *meter {
	m := &meter{w: w, work: work, began: time.Now(), last: progressEvent{Event: "progress", Work: work, Unit: unit}}
	m.told = m.began
	if isTerminal(w) {
		options := []progressbar.Option{
			progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(work), progressbar.OptionThrottle(100 * time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true), progressbar.OptionShowCount(),
		}
		if unit == "bytes" {
			options = append(options, progressbar.OptionShowBytes(true))
		}
		m.bar = progressbar.NewOptions64(1, options...)
	}
	return m
}

// reach says how far the work is.
func (m *meter) reach(done, of, fileBytes int64) {
	of = max(of, done, 1)
	m.last.Done, m.last.Of, m.last.FileBytes = done, of, fileBytes
	if m.bar != nil {
		m.bar.ChangeMax64(of)
		_ = m.bar.Set64(min(done, of-1)) // it is full when the work is done; one that cannot be drawn is no reason to stop
		return
	}
	if time.Since(m.told) >= linesEvery {
		m.line()
	}
}

func (m *meter) line() {
	m.told = time.Now()
	m.last.Seconds = time.Since(m.began).Round(time.Millisecond).Seconds()
	_ = json.NewEncoder(m.w).Encode(m.last) // as above
}

// done ends the display. What took long enough to show a line shows its last one too.
func (m *meter) done() {
	switch {
	case m.bar != nil:
		_ = m.bar.Finish() // as above
	case m.told != m.began:
		m.line()
	}
}
