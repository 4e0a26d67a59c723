package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// output is the value of -o.
type output string

func (o *output) String() string { return string(*o) }
func (o *output) Type() string   { return "FORMAT" }

// outputs are the values of -o. A table is what text is, by the name that other programs' users know.
var outputs = []string{"text", "table", "json", "yaml"}

func (o *output) Set(s string) error {
	if !slices.Contains(outputs, s) {
		return fmt.Errorf("want text, json or yaml")
	}
	*o = output(s)
	return nil
}

// structured says that the output is for programs: print writes it.
func (o *output) structured() bool { return *o == "json" || *o == "yaml" }

func outputFlag(cmd *cobra.Command) *output {
	o := output("text")
	cmd.Flags().VarP(&o, "output", "o", "what to print: text, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp)) // only fails for a flag that does not exist
	return &o
}

// print writes v as JSON, indented, with text as people wrote it; or the same as YAML, with the fields in the same order.
func (o *output) print(w io.Writer, v any) error {
	if *o != "yaml" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil { // JSON is YAML
		return fmt.Errorf("yaml: %w", err)
	}
	plain(&doc)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	return errors.Join(enc.Encode(&doc), enc.Close())
}

// line writes v as one of a stream: a line of JSON, or a document of YAML.
func (o *output) line(w io.Writer, v any) error {
	if *o != "yaml" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	if _, err := io.WriteString(w, "---\n"); err != nil {
		return err
	}
	return o.print(w, v)
}

// plain takes JSON's braces and quotes from a document; the encoder quotes what would be read as another type without.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
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
