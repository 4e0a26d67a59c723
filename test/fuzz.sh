#!/usr/bin/env bash
# Runs every fuzz test of the given packages in turn.
#   test/fuzz.sh TIME [PACKAGE…]     TIME as for go test -fuzztime: 10s, 50000x
set -euo pipefail

time=${1:?usage: test/fuzz.sh TIME [PACKAGE…]}
shift
packages=("${@:-./...}")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
failed=()

# go test -list prints the names found in a package and then "ok  PACKAGE  SECONDS".
list() { go test -list '^Fuzz' "${packages[@]}" | awk '/^Fuzz/ { n[++c] = $1 } /^ok/ { for (i = 1; i <= c; i++) print $2, n[i]; c = 0 }'; }

fuzz() { go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 5s "$1" 2>&1 | tee "$log"; }

# Go before 1.27 now and then reports its own deadline as the failure of a busy run (Go issue 75804).
# It is told from a finding by the input that a finding writes down; such a run is done again.
only_deadline() { grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input written' "$log"; }

targets=$(list)
if [ -z "$targets" ]; then
	echo "no fuzz test in ${packages[*]}"
	exit 0
fi
while read -r package name; do
	echo "== $package $name"
	if fuzz "$package" "$name" </dev/null || { only_deadline && fuzz "$package" "$name" </dev/null; }; then
		passed=$((passed + 1))
	else
		failed+=("$package.$name")
	fi
done <<<"$targets"

echo "fuzz: $passed passed, ${#failed[@]} failed"
if [ ${#failed[@]} -gt 0 ]; then
	printf '  %s\n' "${failed[@]}"
	exit 1
fi
