# edgemem: `make` lists what there is to make.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
BIN := bin
DIST := dist
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/edgemem/edgemem/cmd/edgemem/internal/build.version=$(VERSION)
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
# The go.mod of binaries: deploy/modules says what it changes. It is made anew each time.
MODFILE = $$(deploy/modules/modfile.sh $(1)/modules)

# Packages under the race detector: those that share memory between goroutines.
RACE_PKGS ?= ./persist/... ./p2p/... ./fabric/... ./tiers/offheap/... ./tiers/evict/... ./cmd/edgemem/internal/resp/... ./cmd/edgemem/internal/api ./cmd/edgemem/internal/httpd ./test/bubble
# Their tests that have one goroutine, or do what others do too, and take long under it.
RACE_SKIP ?= ^(TestRandomDamage|TestDamagedBackup|TestBadlyFilledBlocks|TestNumbersAreBadgersVersions|TestRepairDropsWhatIsTorn|TestInterruptedBatch|TestKill|TestCheckpointGivesBack|TestCompactorsRest|TestPartialRestore|TestResident|TestRejoinOfManyIsNoStorm|TestPeersOfANodeThatEvicts|TestMapsLeave|TestRestartsDoNotGrowContexts|TestOneChangeAmongManyRegionsCostsLittle)$$
# The one test of crdt, which starts no goroutine, in which several read at once.
RACE_CRDT ?= ^TestViewsReadAtOnce$$
TEST_TIMEOUT ?= 10m
FUZZTIME ?= 10s
FUZZ_PKGS ?= ./...
BENCH_ARGS ?=
SIM_ARGS ?=
DEMO_ARGS ?=
CROSS := linux/amd64 linux/arm64 linux/arm linux/riscv64
CROSS_MAX := 35000000
# Packages whose tests run with 32-bit words too: those that count bytes, map files and lay out memory.
NARROW_PKGS ?= ./crdt/... ./tiers/... ./persist/... ./fabric/...

.PHONY: help
help: ## list the targets
	@echo 'make TARGET [VARIABLE=value]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'variables: VERSION FUZZTIME FUZZ_PKGS RACE_PKGS NARROW_PKGS CROSS BENCH_ARGS SIM_ARGS DEMO_ARGS'

.PHONY: build
build: ## the daemon, static and stripped, into bin/edgemem
	@mkdir -p $(BIN)
	modfile=$(call MODFILE,$(BIN)); $(BUILD) -modfile "$$modfile" -o $(BIN)/edgemem ./cmd/edgemem

.PHONY: test
test: ## every test of the module: what the README says and CI runs
	$(GO) test -timeout $(TEST_TIMEOUT) ./...

.PHONY: race
race: ## the packages that share memory, under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -timeout $(TEST_TIMEOUT) -skip '$(RACE_SKIP)' $(RACE_PKGS)
	CGO_ENABLED=1 $(GO) test -race -timeout $(TEST_TIMEOUT) -run '$(RACE_CRDT)' ./crdt

.PHONY: poison
poison: ## the pools with freed memory poisoned and leaks reported
	$(GO) vet -tags edgemem_poison ./tiers/offheap
	$(GO) test -tags edgemem_poison -timeout $(TEST_TIMEOUT) ./tiers/offheap

.PHONY: lint
lint: lint-format lint-mod ## format, vet, staticcheck, modules, scripts
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	cd test/bench/dscrdt && $(GO) vet ./...
	cd test/e2e/clients/goredis && $(GO) vet ./...
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run $$(git ls-files '*.sh'); \
	else echo 'shellcheck is not installed: scripts not checked'; fi

.PHONY: lint-format
lint-format:
	@bad=$$(git ls-files --cached --others --exclude-standard '*.go' | xargs -r gofmt -l); \
	if [ -n "$$bad" ]; then printf 'gofmt would change:\n%s\n' "$$bad"; exit 1; fi

.PHONY: lint-mod
lint-mod:
	$(GO) mod verify
	$(GO) mod tidy -diff
	cd test/bench/dscrdt && $(GO) mod tidy -diff
	cd test/e2e/clients/goredis && $(GO) mod tidy -diff

.PHONY: fuzz
fuzz: ## every fuzz test in turn, FUZZTIME each
	test/fuzz.sh $(FUZZTIME) $(FUZZ_PKGS)

.PHONY: bench
bench: ## the figures to reach, with the references measured beside them (BENCH_ARGS='-short -run resp')
	$(GO) run ./test/bench $(BENCH_ARGS)

.PHONY: sim
sim: ## seeded schedules of loss, partition and crash on the real replication core
	$(GO) test -count 1 -timeout 30m -v -run 'Sim|Scenario' ./test/sim $(SIM_ARGS)

.PHONY: demo
demo: ## three daemons, a partition, and the proof that nothing was lost
	$(GO) run ./cmd/edgemem demo $(DEMO_ARGS)

.PHONY: cross
cross: ## static binaries of every supported machine, into dist/, none larger than CROSS_MAX bytes
	@mkdir -p $(DIST)
	@modfile=$(call MODFILE,$(DIST)); \
	for target in $(CROSS); do \
		out=$(DIST)/edgemem-$${target//\//-}; \
		GOOS=$${target%/*} GOARCH=$${target#*/} GOARM=7 $(BUILD) -modfile "$$modfile" -o $$out ./cmd/edgemem; \
		size=$$(stat -c %s $$out); \
		printf '%-28s %s bytes\n' $$out $$size; \
		if [ $$size -gt $(CROSS_MAX) ]; then echo "$$out is larger than $(CROSS_MAX) bytes: a device has no room for it"; exit 1; fi; \
	done

.PHONY: narrow
narrow: ## the storage engine's tests with 32-bit words, as armv7 has them (runs on amd64)
	GOARCH=386 CGO_ENABLED=0 $(GO) test -short -timeout $(TEST_TIMEOUT) $(NARROW_PKGS)

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN) $(DIST)
