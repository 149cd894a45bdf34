# Every target sets itself up: what a build or a test needs beside cargo, make and a C compiler is installed where it
# can be and named where it cannot (.ci/setup). `make help` lists the targets.

SHELL := /bin/bash
# rustup's directory is often missing from the PATH of a shell that nobody logged into.
export PATH := $(PATH):$(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin

# In CI the lock file is the truth; at a desk cargo may complete it after an edit of Cargo.toml.
LOCKED := $(if $(CI),--locked)
NEXTEST_PROFILE := $(if $(CI),ci,default)

# A furt.toml here is the person's own: git ignores it, and it may hold keys.
CONFIG ?= $(if $(wildcard furt.toml),furt.toml,conf/furt.toml)

.PHONY: help run echo test interop interop-short faults lint bench bench-load bench-smoke performance release package dist install uninstall book fuzz fuzz-keep fmt setup setup-build setup-test setup-interop setup-interop-all setup-lint setup-release setup-package setup-book setup-fuzz

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: setup-build ## build furt and run it with furt.toml, without one with conf/furt.toml, or with CONFIG=FILE
	cargo run $(LOCKED) -- run --config '$(CONFIG)'

# By rustc alone: as one of cargo's examples it would have all dependencies of the tests built first.
echo: setup-build ## a service to try furt with, on 127.0.0.1:7812
	@mkdir -p target
	rustc --edition 2024 -O -o target/echo examples/echo.rs
	@target/echo

test: setup-test ## every test: units, properties, end to end, the examples in the docs
	cargo nextest run $(LOCKED) --workspace --exclude furt-benches --profile $(NEXTEST_PROFILE)
	cargo test $(LOCKED) --workspace --exclude furt-benches --doc

interop: setup-interop-all ## what takes seconds against foreign servers and clients; they are unpacked below target/interop, never installed
	cargo nextest run $(LOCKED) -p furt --lib --test interop --profile interop

interop-short: setup-interop ## of these, what shows that furt and each of them understand each other; at most 10 minutes
	cargo nextest run $(LOCKED) -p furt --lib --test interop --profile interop-short

faults: setup-interop-all ## what takes minutes: foreign servers killed, frozen, cut off, emptied, and ten thousand instances
	cargo nextest run $(LOCKED) -p furt --test interop --profile faults

lint: setup-lint ## format, clippy, docs, licences and sources of dependencies, advisories where reachable
	cargo fmt --all --check
	rustfmt --check --edition 2024 fuzz/targets/*.rs
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(LOCKED) --no-deps --workspace
	cargo deny check --hide-inclusion-graph bans licenses sources
	@.ci/advisories

bench: setup-build ## the micro-benches, then the load bench; figures and budgets are in benches/README.md
	cargo bench $(LOCKED) -p furt-benches $(patsubst benches/%.rs,--bench %,$(filter-out benches/bare.rs,$(wildcard benches/*.rs)))
	cargo build $(LOCKED) --bin furt --profile bench
	cargo bench $(LOCKED) -p furt-benches --bench load

bench-load: setup-build ## the load bench alone, with options in LOAD, e.g. LOAD='--workload pass --only furt,nginx'
	cargo build $(LOCKED) --bin furt --profile bench
	cargo bench $(LOCKED) -p furt-benches --bench load -- $(LOAD)

bench-smoke: setup-test ## that the benches work: everything once and as small as it gets, no figure is judged
	cargo build $(LOCKED) --bin furt
	cargo nextest run $(LOCKED) --profile $(NEXTEST_PROFILE) -p furt-benches

performance: setup-build ## measure what docs/performance.md shows, and make its tables and pictures anew; LOAD as above
	@.ci/performance $(LOAD)

release: setup-release ## target/dist/furt as it is meant to be run: fat LTO, and optimised by a profile of the load bench
	@.ci/release

package: setup-package ## target/dist/furt as deb and rpm, with checksums, in target/dist
	@.ci/package

dist: release ## what a release consists of, in target/dist: the program, deb, rpm, and files for Compose and Kubernetes
	@$(MAKE) --no-print-directory package

# Where `make install` puts furt; DESTDIR stands before every path.
PREFIX ?= /usr/local
FURT ?= $(firstword $(wildcard target/dist/furt target/release/furt))

install: ## lay target/dist/furt, or else target/release/furt, with its unit, man pages and completions below PREFIX (/usr/local)
	@[ -n '$(FURT)' ] || { echo 'install: no furt is built; `make release` or `cargo build --release` builds it' >&2; exit 1; }
	@.ci/install '$(FURT)' '$(PREFIX)' '$(DESTDIR)'

uninstall: ## remove what `make install` put below PREFIX, but no configuration and no registry
	@.ci/install --remove '$(PREFIX)' '$(DESTDIR)'

book: setup-book ## docs/ as a book, in book/index.html
	target/mdbook/bin/mdbook build

fuzz: setup-fuzz ## each fuzz target for FUZZ_SECONDS (600), or those in TARGETS; fails on a finding and says how to replay it
	@.ci/fuzz run $(TARGETS)

fuzz-keep: setup-fuzz ## take what `make fuzz` found into the corpora that `make test` replays, made small
	@.ci/fuzz keep $(TARGETS)

fmt: ## format the code
	cargo fmt --all

setup: setup-build setup-test setup-lint ## only the set-up of the other targets

setup-build:
	@.ci/setup build

setup-test:
	@.ci/setup test

setup-interop: setup-test
	@.ci/interop

setup-interop-all: setup-test
	@.ci/interop all

setup-lint:
	@.ci/setup lint

setup-release:
	@.ci/setup release

setup-package:
	@.ci/setup package

setup-book:
	@.ci/setup book

setup-fuzz:
	@.ci/setup fuzz
