#!/bin/sh
# Prepares, in the folder $1, a go.mod in which two modules are mended, and prints its path, for `go build -modfile`:
#
#   ristretto   maps files right on riscv64 (see ristretto_mremap.go.patched)
#   x/net       its trace package adds no pages to net/http's global server. They are HTML templates, which call methods by
#               name, so that the linker must keep every exported method of the program: 5 MB of the binary.
#
# `make build` and `make cross` use it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
to=$(cd "$1" && pwd)
cp "$here/../../go.mod" "$here/../../go.sum" "$to/"

# copy MODULE FOLDER  puts a module's files into $to/FOLDER, and tells the go.mod there.
copy() {
	rm -rf "${to:?}/$2"
	from=$(cd "$here" && go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
	cp -r "$from" "$to/$2"
	chmod -R u+w "$to/$2"
	go mod edit -replace "$1=$to/$2" "$to/go.mod"
}

copy github.com/dgraph-io/ristretto/v2 ristretto
sed -i 's/^\/\/go:build linux/& \&\& !riscv64/' "$to/ristretto/z/mremap_size.go"
cp "$here/ristretto_mremap.go.patched" "$to/ristretto/z/mremap_riscv64.go"

copy golang.org/x/net net
trace=$to/net/trace/trace.go
sed -i 's/^\thttp\.HandleFunc(debug\(Requests\|Events\)Path, \(Traces\|Events\))$/\t_ = debug\1Path/' "$trace"
if grep -q 'http\.HandleFunc' "$trace" || ! grep -q '_ = debugEventsPath' "$trace"; then
	echo "modfile.sh: golang.org/x/net/trace has changed: it registers its pages in another way" >&2
	exit 1
fi
echo "$to/go.mod"
