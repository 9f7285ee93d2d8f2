# make demo      prepares the host, builds, brings the platform up, runs the first flight
# make install   puts druppie-up on the PATH
# make test      everything that needs no cluster and no engine; it says what it left out
#
# Nothing here but Go and make is needed; demo and e2e also want root or the right to use docker.

# Static programs: those packed into images have no C library beside them, and a machine without a C
# compiler can build them all. One set of flags, so that tests and programs share what is compiled.
GO := CGO_ENABLED=0 go
FLAGS := -trimpath -buildvcs=false

DRUPPIE := bin/druppie-up
# What is packed into images and onto the host, from beside the command.
PACKED := canary foundry mirror podnet tracedb druppie-runc
REVISION := $(shell git describe --always --dirty --abbrev=12 2>/dev/null)

# Where make install puts things; packagers set DESTDIR too.
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)

.PHONY: demo build install test e2e test-containers test-policies bench bench-tracedb bench-network chaos e2e-registry outsiders outsiders-docs lint clean

demo: build
	$(DRUPPIE) doctor --fix --yes
	$(DRUPPIE) up
	$(DRUPPIE) scenario run first-flight
	@command -v druppie-up >/dev/null || echo 'make install puts druppie-up on your PATH; until then it is $(DRUPPIE)'

# What is packed into images carries no revision, so that its bytes change only when its code does.
build:
	mkdir -p bin
	$(GO) build $(FLAGS) -ldflags='-s -w -buildid=' -o bin/ $(PACKED:%=./cmd/%)
	$(GO) build $(FLAGS) -ldflags='-s -w -X main.revision=$(REVISION)' -o bin/ ./cmd/druppie-up

# The link keeps the programs that the command looks for beside itself out of the PATH.
install: build
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/libexec/druppie-up'
	install -m 755 $(DRUPPIE) $(PACKED:%=bin/%) '$(DESTDIR)$(PREFIX)/libexec/druppie-up'
	ln -sf ../libexec/druppie-up/druppie-up '$(DESTDIR)$(PREFIX)/bin/druppie-up'
	@case ":$$PATH:" in *:'$(PREFIX)/bin':*) ;; *) echo '$(PREFIX)/bin is not on your PATH: export PATH="$(PREFIX)/bin:$$PATH"';; esac

test:
	$(GO) test $(FLAGS) ./...
	@if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		cd scenarios/drone-service && python3 -B -m unittest -q; \
	else echo 'LEFT OUT: the unit tests of scenarios/drone-service (no Python 3.11 here; the pipeline runs them)'; fi
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo 'LEFT OUT: the tests of the Traceability DB on PostgreSQL (no server here; Debian: postgresql)'
	@command -v chromium >/dev/null || echo 'LEFT OUT: the tests of its pages in a browser (no Chromium here; Debian: chromium)'
	@echo 'LEFT OUT: make test-policies    (builds the Kyverno CLI, about ten minutes the first time)'
	@echo 'LEFT OUT: make test-containers  (needs an engine and a filled store)'
	@echo 'LEFT OUT: make e2e              (needs an engine and a filled store)'
	@echo 'LEFT OUT: make e2e-registry     (needs an engine and a filled store)'
	@echo 'LEFT OUT: make chaos, make bench (need an engine and a filled store, and take long)'
	@echo 'LEFT OUT: make bench-tracedb    (takes long)'
	@echo 'LEFT OUT: make bench-network    (measures alone)'
	@echo 'LEFT OUT: make outsiders        (judges a platform that is up)'

# A cluster of its own, all scenarios, and down again. It never fills the store.
e2e: build
	.ci/e2e

# The same from a registry into an empty store of its own; the registry is a process that serves the
# filled store under upstream's names.
e2e-registry: build
	$(GO) test $(FLAGS) -count=1 -timeout 2h -tags registryworld -v ./test/registryworld

test-containers:
	$(GO) test $(FLAGS) -count=1 -tags containers $(sort $(dir $(shell grep -rl '^//go:build containers' --include='*_test.go' . )))

test-policies:
	cd tools/kyverno && $(GO) build $(FLAGS) -o ../../bin/kyverno github.com/kyverno/kyverno/cmd/cli/kubectl-kyverno
	bin/kyverno test policies

bench: build
	$(GO) run $(FLAGS) ./test/bench

# The Traceability DB beside the engines below it; needs neither a cluster nor a filled store. The large
# log takes some 3 GB of the temporary folder's disk, which is the one that is measured.
bench-tracedb:
	$(GO) test $(FLAGS) -run '^$$' -bench . -benchtime 1x -count 3 -timeout 3h ./test/bench-tracedb $(BENCH)

# What network policies cost: fifty services' put in place, and a connection with and without them. It wants root.
bench-network:
	$(GO) test $(FLAGS) -run '^$$' -bench . -count 3 ./cmd/podnet/internal/firewall

chaos: build
	$(GO) test $(FLAGS) -count=1 -timeout 3h -tags chaos -v ./test/chaos

# The platform that is up, judged by what others wrote; some of it wants npm, Chromium or testssl, and says so.
# outsiders-docs writes docs/outsiders.md too.
outsiders: build
	$(GO) run $(FLAGS) ./test/outsiders

outsiders-docs: build
	$(GO) run $(FLAGS) ./test/outsiders -write docs/outsiders.md

lint:
	@files=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$files" || { echo "not formatted: $$files"; exit 1; }
	$(GO) vet $(FLAGS) -tags containers,chaos,registryworld ./...

clean:
	rm -rf bin tools/outsiders/node_modules
