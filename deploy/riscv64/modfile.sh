#!/bin/sh
# Prepares, in the folder $1, a go.mod whose ristretto maps files right on riscv64 (see mremap.go.patched), and prints its path, for
# `go build -modfile`. `make cross` uses it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
to=$(cd "$1" && pwd)
name=github.com/dgraph-io/ristretto/v2
rm -rf "$to/ristretto"
cp -r "$(go list -m -f '{{.Dir}}' "$name")" "$to/ristretto"
chmod -R u+w "$to/ristretto"
cp "$here/mremap.go.patched" "$to/ristretto/z/mremap_size.go"
cp "$here/../../go.mod" "$here/../../go.sum" "$to/"
go mod edit -replace "$name=$to/ristretto" "$to/go.mod"
echo "$to/go.mod"
