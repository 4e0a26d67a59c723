package resp

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write COMMANDS.md anew from the command table")

// commandsFile tells people what COMMAND DOCS tells clients.
const commandsFile = "../../COMMANDS.md"

// TestCommandsDocument holds COMMANDS.md to the command table.
func TestCommandsDocument(t *testing.T) {
	t.Parallel()
	want := commandsDocument(newTable())
	if *update {
		if err := os.WriteFile(commandsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(commandsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Fatal("COMMANDS.md is not what the command table says: go test ./cmd/edgemem/internal/resp -run TestCommandsDocument -update")
	}
}

func commandsDocument(table *table) string {
	var b strings.Builder
	b.WriteString(`# Commands

Written by a test from the table that drives the commands; ` + "`COMMAND DOCS`" + ` tells the same to clients. Arguments, replies and
error texts are those of Redis 7.0. Every command reads and writes this node's replica, or a holder's where this node has no copy; what waits for other nodes says so. The last column
says what is particular where several nodes write at once; where it is empty, a read shows what has arrived here.
`)
	byGroup := map[string][]*command{}
	for _, cmd := range table.listed {
		byGroup[cmd.group] = append(byGroup[cmd.group], cmd)
		byGroup[cmd.group] = append(byGroup[cmd.group], cmd.toldSubs()...)
	}
	for _, group := range sortedKeys(byGroup) {
		fmt.Fprintf(&b, "\n## %s%s\n\n| command | what it does | under concurrency |\n|---|---|---|\n", strings.ToUpper(group[:1]), group[1:])
		for _, cmd := range byGroup[group] {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.ToUpper(strings.Replace(cmd.name, "|", " ", 1)), cell(cmd.summary), cell(cmd.note))
		}
	}
	b.WriteString("\n## Refused\n\nThese commands of Redis answer `ERR '…' not supported by edgemem:` and the reason, and `COMMAND` does not list them.\n\n| reason | commands |\n|---|---|\n")
	refused := map[string][]string{}
	for _, cmd := range table.byName {
		for _, one := range append([]*command{cmd}, cmd.subs...) {
			if one.refusal != "" {
				refused[one.refusal] = append(refused[one.refusal], "`"+strings.ToUpper(strings.Replace(one.name, "|", " ", 1))+"`")
			}
		}
	}
	for _, reason := range sortedKeys(refused) {
		slices.Sort(refused[reason])
		fmt.Fprintf(&b, "| %s | %s |\n", cell(reason), strings.Join(refused[reason], " "))
	}
	return b.String()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
