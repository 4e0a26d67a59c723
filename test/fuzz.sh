#!/usr/bin/env bash
# Runs every fuzz test of the given packages in turn.
#   test/fuzz.sh TIME [PACKAGE…]     TIME as for go test -fuzztime: 10s, 50000x
set -euo pipefail

time=${1:?usage: test/fuzz.sh TIME [PACKAGE…]}
shift
packages=("${@:-./...}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
cache=$(go env GOCACHE)/fuzz # where "go test -fuzz" keeps what it found, too
passed=0
failed=()

# Each package is built once, with the fuzzer's instrumentation; "go test -fuzz" would link it again for every target.
build() { go test -c -fuzz . -o "$work/test" "$1"; }

fuzz() {
	(cd "$dir" && "$work/test" -test.run '^$' -test.fuzz "^$1\$" -test.fuzztime "$time" -test.fuzzminimizetime 5s \
		-test.fuzzcachedir "$cache/$package" -test.parallel "$(nproc)") 2>&1 | tee "$log"
}

# Go before 1.27 now and then reports its own deadline as the failure of a busy run (Go issue 75804).
# It is told from a finding by the input that a finding writes down; such a run is done again.
only_deadline() { grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input written' "$log"; }

while read -r package dir; do
	grep -qs '^func Fuzz' "$dir"/*_test.go || continue
	build "$package"
	while read -r name; do
		echo "== $package $name"
		if fuzz "$name" </dev/null || { only_deadline && fuzz "$name" </dev/null; }; then
			passed=$((passed + 1))
		else
			failed+=("$package.$name")
		fi
	done < <("$work/test" -test.list '^Fuzz')
done < <(go list -f '{{.ImportPath}} {{.Dir}}' "${packages[@]}")

if [ $((passed + ${#failed[@]})) -eq 0 ]; then
	echo "no fuzz test in ${packages[*]}"
	exit 0
fi
echo "fuzz: $passed passed, ${#failed[@]} failed"
if [ ${#failed[@]} -gt 0 ]; then
	printf '  %s\n' "${failed[@]}"
	exit 1
fi
