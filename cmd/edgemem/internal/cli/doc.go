// Package cli is the command line: one command a file, or a few that belong together.
//
// Every command prints for people by default and, with -o json, prints JSON whose shape is the types in
// the control package and does not change under scripts; testdata/*.txtar holds both. Results go to
// standard output, everything else to standard error, each error on one line of its own.
package cli
