// Command edgemem runs one node of a fabric and talks to the node that runs: see internal/cli.
package main

import (
	"os"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
