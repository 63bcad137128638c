# Tools are built by Go into bin/ at these versions; nothing else is needed.
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.8.0

BIN     := $(CURDIR)/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS := -s -w -X orderbridge/internal/telemetry.version=$(VERSION) -X orderbridge/internal/telemetry.commit=$(COMMIT)

FUZZTIME ?= 30s
FUZZ     ?= ^Fuzz

.DEFAULT_GOAL := help
.PHONY: help build console pictures test times attack nats-tools race fmt tidy lint vuln check simulate mutants bench torture trouble fuzz clean
.PHONY: image image-test compose-test manifests deploy-test release

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/orderbridge, static
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BIN)/orderbridge ./cmd/orderbridge

console: ## Build the console's page again from internal/console/ui (needs node; npm ci first)
	cd internal/console/ui && npm ci --no-audit --no-fund && npm run build && npm run check

pictures: ## Make the pictures of docs/console again (needs chromium; some 10 minutes, in which events flow)
	CONSOLE_TOOLS=required go test ./internal/e2e -run '^TestConsole(Docs)?$$' -pictures -count=1 -timeout 30m

test: ## Run all tests (5 to 10 minutes on 2 cores; a busy machine takes longer)
	go test -timeout 30m ./...

times: ## Hold times, sizes and counts against what is promised, on a machine that does nothing else
	@set -e; for pkg in $$(sed '/^#/d;s/ .*//' internal/lab/promises.txt | sort -u); do \
		flags=; if [ $$pkg = internal/e2e ]; then flags=-attack; fi; \
		ORDERBRIDGE_TIMES=held go test ./$$pkg -count=1 -parallel 2 -timeout 60m \
			-run "^($$(sed -n "s|^$$pkg ||p" internal/lab/promises.txt | paste -sd '|'))\$$" $$flags; \
	done
	go run ./bench/torture -duration 60s -times

attack: ## Attack the built program from all roles of docs/security.md (5 minutes on 2 cores)
	go test ./internal/e2e -run '^TestAttack' -attack -count=1 -timeout 40m

nats-tools: ## Build the NATS programs of other versions that some tests run, into bin/
	@mkdir -p $(BIN)
	cd internal/natstools/server-2.10 && go build -o $(BIN)/nats-server-2.10 github.com/nats-io/nats-server/v2
	cd internal/natstools/server-2.11 && go build -o $(BIN)/nats-server-2.11 github.com/nats-io/nats-server/v2
	cd internal/natstools/natscli && go build -o $(BIN)/nats github.com/nats-io/natscli/nats

# Ten times slower, the end-to-end tests would run into their time limits on two
# cores; what they drive is raced by the tests of its packages.
race: ## Run the tests with the race detector, of the program its scripts (needs a C compiler)
	go test -race -timeout 40m $$(go list ./... | grep -v -e /cmd/ -e /internal/e2e)
	go test -race -timeout 30m ./cmd/orderbridge -run '^TestScripts$$'

fmt: ## Fail if a file is not formatted
	@files=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$files" ]; then echo "run gofmt -w on:"; echo "$$files"; exit 1; fi

tidy: ## Fail if go.mod or go.sum are not tidy
	go mod tidy -diff

lint: $(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION) ## Run go vet and the linters of .golangci.yml
	go vet ./...
	$< run --allow-parallel-runners
	go test ./bridge -run TestExportedNamesAreUsed -exports -count=1

vuln: $(BIN)/govulncheck-$(GOVULNCHECK_VERSION) ## Look for known vulnerabilities, where the database can be reached
	@out=$$(timeout 600 $< ./... 2>&1); rc=$$?; \
	case "$$rc:$$out" in \
	0:*) echo "govulncheck: nothing found" ;; \
	124:*|*"fetching vulnerabilities"*) echo "govulncheck: NOT CHECKED, the database cannot be reached" ;; \
	*) echo "$$out"; exit 1 ;; \
	esac

check: fmt tidy lint race vuln ## Run what CI runs beside the tests

simulate: ## Run 100,000 seeds of the protocol's simulation, and 20,000 with shards
	go test ./bridge/protocol -run 'TestSimulation$$' -timeout 60m -sim.from 100000 -sim.seeds 100000 -v
	go test ./bridge/protocol -run 'TestReshardSimulation$$' -timeout 60m -sim.from 100000 -sim.seeds 20000 -v

mutants: ## Break each rule of the protocol once and see a story or the simulation reject it
	go test ./bridge/protocol -run '^TestMutants$$' -mutants -count=1 -timeout 40m

bench: ## Measure the throughput (under 5 minutes)
	go run ./bench

image: ## Build the container image with podman or docker
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' deploy/image.sh build

image-test: ## Build the image, look into it and run it (under 4 minutes)
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' deploy/image.sh test

torture: ## Kill, stop and cut off three bridges on three servers for 7 minutes (at most 10) and check what arrived
	go run ./bench/torture -duration 7m

trouble: ## Measure what endpoints in trouble do to the others (about 12 minutes)
	go run ./bench/trouble

compose-test: ## Run deploy/compose.yaml and break some of it
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' deploy/image.sh compose

manifests: ## Render deploy/kubernetes from the Helm chart
	cd deploy/test && go test ./... -run TestManifests -update

deploy-test: ## Hold the chart, the manifests, compose.yaml and the systemd unit against their own tools
	cd deploy/test && go vet ./... && go test -timeout 30m ./...
	cd deploy/sbom && go vet ./... && go test -timeout 30m ./...

release: ## Build archives, SBOMs and checksums into dist/
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' deploy/release.sh

# On a slow machine go test may end a run by an error that only says that its time is over.
fuzz: ## Fuzz each fuzz test that FUZZ matches for FUZZTIME (30s)
	@set -e; for pkg in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		for f in $$(go test -list '$(FUZZ)' ./$$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$f"; \
			if out=$$(go test -timeout 30m -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) ./$$pkg 2>&1); then echo "$$out" | tail -n 3; continue; fi; \
			echo "$$out"; \
			case "$$out" in *"Failing input"*|*panic:*) exit 1 ;; *"context deadline exceeded"*) ;; *) exit 1 ;; esac; \
		done; \
	done

clean: ## Remove what was built
	rm -rf $(BIN) dist

$(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(BIN)/golangci-lint $@

$(BIN)/govulncheck-$(GOVULNCHECK_VERSION):
	GOBIN=$(BIN) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv $(BIN)/govulncheck $@
