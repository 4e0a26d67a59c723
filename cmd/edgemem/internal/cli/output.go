package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
)

// output is the value of -o.
type output string

func (o *output) String() string { return string(*o) }
func (o *output) Type() string   { return "FORMAT" }

func (o *output) Set(s string) error {
	if s != "text" && s != "json" {
		return fmt.Errorf("want text or json")
	}
	*o = output(s)
	return nil
}

func (o *output) json() bool { return *o == "json" }

func outputFlag(cmd *cobra.Command) *output {
	o := output("text")
	cmd.Flags().VarP(&o, "output", "o", "what to print: text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // only fails for a flag that does not exist
	return &o
}

// printJSON prints v indented, with text as people wrote it.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints rows of tab-separated cells in aligned columns.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

func (t table) row(cells ...string) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t, "\t")
		}
		fmt.Fprint(t, c)
	}
	fmt.Fprintln(t)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

func formatCount(n int) string { return humanize.Comma(int64(n)) }

func formatBytes(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// formatMillis gives a time in the unit that people would use for it.
func formatMillis(ms float64) string {
	switch {
	case ms <= 0:
		return "–"
	case ms < 1:
		return strconv.FormatFloat(ms*1000, 'f', 0, 64) + " µs"
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 10_000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	default:
		return time.Duration(ms * float64(time.Millisecond)).Round(time.Second).String()
	}
}

// short cuts an id for a table; the whole is in the JSON.
func short(id string, n int) string {
	if len(id) <= n {
		return id
	}
	return id[:n] + "…"
}
