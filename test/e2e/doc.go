// Package e2e tests edgemem as its users meet it: the built daemon in processes of its own, redis-cli,
// redis-benchmark and clients of other languages, kill -9, SIGTERM, and bad input.
//
//	go test ./test/e2e                                      # what CI runs, under three minutes on two cores
//	go test ./test/e2e -run Torture -rounds 200 -timeout 1h # longer
//	go test ./test/e2e -run Torture -seed 0x1234            # the choices of one run again
//	sudo go test ./test/e2e -run Power -cuts 200 -timeout 1h # power cuts, on disks that lose, tear and flip what was not synced
//	EDGEMEM_TEST_BINARY=bin/edgemem go test ./test/e2e      # a binary that is built already
//
// It needs redis-tools and curl, and for TestNodeClients Node.js with the packages of clients/ (npm ci --prefix
// test/e2e/clients). What is missing skips its tests and says so; with CI=true it fails them.
//
//	main_test.go       builds the daemon once
//	contract_test.go   what others script against: flags, status, tickets, readiness
//	redis_test.go      redis-cli and redis-benchmark, unmodified
//	clients_test.go    ioredis, node-redis and go-redis, unmodified
//	examples_test.go   deploy/examples, through a partition
//	http_test.go       a generated client of the HTTP API, and curl on a watch through kills
//	catchup_test.go    a node that was off line through many writes
//	torture_test.go    kill -9 at random moments, no acknowledged write lost, no dot used twice
//	power_linux_test.go  the same on disks that lose power, and with bits that rot; needs root and /dev/fuse
//	ledger_test.go     that the checker of the tortures can fail
//	stop_test.go       SIGTERM
//	refused_test.go    starts that must fail, with what they must say
//	damage_test.go     damaged data directories
//	hostile_test.go    bytes that no client and no peer would send
//	demo_test.go       edgemem demo
//
// The daemons listen on loopback only. A failing torture prints its seed; the seed fixes what is written and
// when daemons are killed, but not how the machine schedules them.
package e2e
