package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/dustin/go-humanize"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

var (
	bold  = lipgloss.NewStyle().Bold(true)
	faint = lipgloss.NewStyle().Faint(true)
	good  = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	warn  = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	bad   = lipgloss.NewStyle().Foreground(lipgloss.Color("1")).Bold(true)
)

// Lines of the parts that do not grow with the node.
const (
	peersShown  = 8
	alarmsShown = 4
	barCells    = 24
)

// View draws all, cut to the terminal.
func (m model) View() string {
	if m.at.IsZero() {
		if m.err != nil {
			return bad.Render("no answer: ") + m.err.Error() + "\n" + m.help() + "\n"
		}
		return faint.Render("asking the node …") + "\n"
	}
	parts := [][]string{m.head(), m.alarms(), m.peers()}
	var lines []string
	for _, p := range parts {
		if len(p) > 0 {
			lines = append(append(lines, p...), "")
		}
	}
	lines = append(lines, m.regions(m.height-len(lines)-1)...)
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:max(m.height-1, 0)], m.help())
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], m.width, "…")
	}
	return strings.Join(lines, "\n")
}

func (m model) help() string {
	keys := "q quit · s sort (" + m.order.String() + ") · p pause · ↑↓ regions"
	switch {
	case m.err != nil:
		return bad.Render("no answer since "+m.at.Format(time.TimeOnly)+": "+m.err.Error()) + faint.Render(" · q quit")
	case m.paused:
		return warn.Render("paused at "+m.at.Format(time.TimeOnly)) + faint.Render(" · "+keys)
	}
	return faint.Render(keys)
}

func (m model) head() []string {
	n, r := m.last.Node, m.rates
	state := good.Render("on line")
	switch {
	case !n.Ready:
		state = bad.Render("not ready")
	case n.Offline:
		state = warn.Render("off line on purpose")
	}
	up := time.Duration(n.UptimeSeconds * float64(time.Second)).Round(time.Second)
	return []string{
		bold.Render(n.Name) + " (" + n.Tier + ") " + state + fmt.Sprintf(", up %v · edgemem %s", up, n.Version),
		"memory  " + m.memory(),
		fmt.Sprintf("writes  %s here, %s merged · %s evicted, %s read back", perSecond(r.Writes), perSecond(r.Merges), perSecond(r.Evictions), perSecond(r.Faults)),
		fmt.Sprintf("mesh    %s in, %s out · %d of %d peers connected", bytesPerSecond(r.In), bytesPerSecond(r.Out), r.Peers, len(m.last.Peers)),
		"disk    " + diskLine(n.Disk),
	}
}

func (m model) memory() string {
	r := m.rates
	text := fmt.Sprintf("%s in regions, %s resident", size(r.Used), size(r.Resident))
	if r.Budget > 0 {
		share := float64(r.Used) / float64(r.Budget)
		text = bar(share) + fmt.Sprintf(" %.0f %% of %s · ", 100*share, size(r.Budget)) + text
	}
	if r.Pressure != "none" && r.Pressure != "" {
		text = warn.Render("pressure "+r.Pressure) + " · " + text
	}
	return text
}

// bar draws a share, from 0 to 1.
func bar(share float64) string {
	full := int(min(max(share, 0), 1)*barCells + 0.5)
	style := good
	if share > 0.9 {
		style = bad
	} else if share > 0.7 {
		style = warn
	}
	return style.Render(strings.Repeat("█", full)) + faint.Render(strings.Repeat("░", barCells-full))
}

func diskLine(d control.Disk) string {
	text := fmt.Sprintf("%s taken, %s free", size(d.Total()), size(d.FreeBytes))
	switch {
	case d.Failed != "":
		text += " · " + bad.Render("FAILED: "+d.Failed)
	case d.Full:
		text += " · " + bad.Render("FULL: no writes")
	}
	return text
}

func (m model) alarms() (lines []string) {
	for i, a := range m.last.Alarms {
		if i == alarmsShown {
			return append(lines, bad.Render(fmt.Sprintf("and %d more: edgemem alarms", len(m.last.Alarms)-i)))
		}
		style := bad
		if a.Notice {
			style = warn
		}
		lines = append(lines, style.Render("! "+a.Kind+" "+harmless(cmp.Or(a.Name, string(a.Node))))+"  "+harmless(a.Detail))
	}
	return lines
}

// peers lists the connected ones first, the nearest first.
func (m model) peers() []string {
	if len(m.last.Peers) == 0 {
		return nil
	}
	peers := slices.Clone(m.last.Peers)
	slices.SortFunc(peers, func(a, b control.Peer) int {
		if a.Connected != b.Connected {
			if a.Connected {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.RTTMillis, b.RTTMillis), cmp.Compare(a.Name, b.Name))
	})
	lines := []string{bold.Render(fmt.Sprintf("%-20s %-9s %9s  %-9s %s", "PEER", "TIER", "RTT", "BY", "STATE"))}
	for i, p := range peers {
		if i == peersShown {
			return append(lines, faint.Render(fmt.Sprintf("and %d more: edgemem peers", len(peers)-i)))
		}
		lines = append(lines, peerLine(p))
	}
	return lines
}

func peerLine(p control.Peer) string {
	state, rtt, by := faint.Render("away"), "–", "–"
	if p.Connected {
		state, rtt, by = good.Render("connected"), fmt.Sprintf("%.1f ms", p.RTTMillis), p.Transport
	} else if !p.LastSeen.IsZero() {
		state = faint.Render("away since " + p.LastSeen.Format(time.DateTime))
	}
	return fmt.Sprintf("%-20s %-9s %9s  %-9s %s", cell(p.Name, 20), p.Tier, rtt, by, state)
}

// regions lists as many as fit into so many lines.
func (m model) regions(room int) []string {
	all := m.rates.Regions
	lines := []string{bold.Render(fmt.Sprintf("%-24s %12s %10s %11s %11s %9s  %s", "REGION", "ENTRIES", "HELD", "WRITES", "MERGES", "LAG", "STATE"))}
	from := min(m.top, max(len(all)-1, 0))
	to := min(from+max(room-2, 1), len(all))
	for _, r := range all[from:to] {
		lines = append(lines, regionLine(r))
	}
	if from > 0 || to < len(all) {
		lines = append(lines, faint.Render(fmt.Sprintf("%d to %d of %d regions", from+1, to, len(all))))
	}
	return lines
}

func regionLine(r RegionRates) string {
	lag, state := "–", ""
	if r.Lag > 0 {
		lag = humanize.Comma(int64(r.Lag))
	}
	switch {
	case r.Full != "":
		state = bad.Render("full: " + r.Full)
	case r.Loading:
		state = warn.Render("loading")
	case r.Missing > 0:
		state = warn.Render(humanize.Comma(int64(r.Missing)) + " writes to fetch")
	}
	return fmt.Sprintf("%-24s %12s %10s %11s %11s %9s  %s", cell(r.Name, 24), humanize.Comma(int64(r.Entries)), size(r.Held),
		perSecond(r.Writes), perSecond(r.Merges), lag, state)
}

// cell cuts a name to n cells.
func cell(name string, n int) string { return ansi.Truncate(harmless(name), n, "…") }

// harmless is a text that others chose, without what a terminal would obey.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '·'
		}
		return r
	}, ansi.Strip(text))
}

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func bytesPerSecond(x float64) string { return size(int64(x)) + "/s" }

func perSecond(x float64) string {
	if x > 0 && x < 10 {
		return fmt.Sprintf("%.1f/s", x)
	}
	return humanize.Comma(int64(x+0.5)) + "/s"
}
