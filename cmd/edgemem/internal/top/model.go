package top

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

// Source gives a node's status.
type Source func(context.Context) (control.Status, error)

// answer is what one question for the status came to.
type answer struct {
	status control.Status
	err    error
	at     time.Time
}

type tick struct{}

// model is the program's state: bubbletea calls it from one goroutine.
type model struct {
	ctx    context.Context
	source Source
	every  time.Duration

	last   control.Status
	at     time.Time // of last; zero: none yet
	rates  Rates
	err    error // of the newest question
	asking bool

	order  order
	paused bool
	top    int // the first region that is shown
	width  int
	height int
}

// order is by what regions are sorted.
type order int

const (
	byWrites order = iota
	byHeld
	byLag
	byName
	orders
)

func (o order) String() string { return [orders]string{"writes", "memory", "lag", "name"}[o] }

// Run shows the view until q, an interrupt or the end of ctx.
func Run(ctx context.Context, source Source, every time.Duration, options ...tea.ProgramOption) error {
	m := model{ctx: ctx, source: source, every: every, width: 80, height: 24}
	options = append(options, tea.WithContext(ctx), tea.WithAltScreen())
	_, err := tea.NewProgram(m, options...).Run()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (m model) Init() tea.Cmd { return tea.Batch(m.ask(), m.wait()) }

// ask is the one thing that leaves the model; a question that is not answered is not asked again.
func (m model) ask() tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, 5*m.every+time.Second)
		defer cancel()
		s, err := m.source(ctx)
		return answer{s, err, time.Now()}
	}
}

func (m model) wait() tea.Cmd { return tea.Tick(m.every, func(time.Time) tea.Msg { return tick{} }) }

func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tick:
		if m.asking || m.paused {
			return m, m.wait()
		}
		m.asking = true
		return m, tea.Batch(m.ask(), m.wait())
	case answer:
		m.asking = false
		m.take(msg)
	case tea.KeyMsg:
		return m.key(msg.String())
	}
	return m, nil
}

// take turns an answer into rates.
func (m *model) take(a answer) {
	if m.err = a.err; a.err != nil {
		return
	}
	before, span := m.last, a.at.Sub(m.at)
	if m.at.IsZero() {
		before, span = a.status, m.every
	}
	m.rates = Between(before, a.status, span)
	m.last, m.at = a.status, a.at
	m.sort()
}

func (m model) key(name string) (tea.Model, tea.Cmd) {
	switch name {
	case "q", "esc", "ctrl+c":
		return m, tea.Quit
	case "s", "tab":
		m.order = (m.order + 1) % orders
		m.sort()
	case "p", " ":
		m.paused = !m.paused
	case "down", "j":
		m.top = min(m.top+1, max(len(m.rates.Regions)-1, 0))
	case "up", "k":
		m.top = max(m.top-1, 0)
	case "pgdown":
		m.top = min(m.top+10, max(len(m.rates.Regions)-1, 0))
	case "pgup":
		m.top = max(m.top-10, 0)
	case "home", "g":
		m.top = 0
	}
	return m, nil
}

// sort brings the regions into the chosen order, equal ones by name.
func (m *model) sort() {
	slices.SortFunc(m.rates.Regions, func(a, b RegionRates) int {
		var d float64
		switch m.order {
		case byWrites:
			d = b.Writes + b.Merges - a.Writes - a.Merges
		case byHeld:
			d = float64(b.Held - a.Held)
		case byLag:
			d = float64(b.Lag+b.Missing) - float64(a.Lag+a.Missing)
		}
		switch {
		case d < 0:
			return -1
		case d > 0:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
}
