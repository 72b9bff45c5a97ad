# The two commands of the README, and what they are made of. Downloads go to $(TALLY_CACHE) and are kept, so that
# everything works offline the second time.

SHELL := /bin/bash
TALLY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tally
export TALLY_CACHE
export CARGO_TARGET_DIR ?= $(TALLY_CACHE)/target
export TALLY_CHDB_LIB ?= $(TALLY_CACHE)/chdb/$(if $(filter Darwin,$(shell uname -s)),libchdb.dylib,libchdb.so)
export TALLY_PYTHON ?= $(TALLY_CACHE)/venv/bin/python
export TALLY_NODE_MODULES ?= $(TALLY_CACHE)/node/node_modules

TALLY := $(CARGO_TARGET_DIR)/release/tally
DATA ?= data

.DEFAULT_GOAL := help
.PHONY: help run demo test oracle bench build setup setup-engine setup-clients lint

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: build setup-engine  ## build, and start Tally on this machine with its data in ./data (DATA=folder)
	@$(TALLY) standalone --data-dir $(DATA) --welcome

demo: build setup-engine  ## start Tally, send five weeks of events for a minute, and show the numbers
	@deploy/demo/run

test: build setup  ## everything this machine can test; says what it left out (TALLY_REQUIRE=all: nothing may be)
	@tests/run

oracle: setup  ## 2,000,000 events through 200 faults on Kafka, and half of that on the embedded log; for ten minutes or more
	cargo build --release --workspace --locked --bin tally
	TALLY_ORACLE_EVENTS=$(or $(TALLY_ORACLE_EVENTS),2000000) TALLY_ORACLE_FAULTS=$(or $(TALLY_ORACLE_FAULTS),200) \
	  cargo test --release --workspace --locked --test oracle -- --nocapture --test-threads=1

bench: build setup-engine  ## CPU-seconds per million events, freshness and storage, latency of dashboards, as tables
	@benches/run

lint:  ## formatting and lints, warnings are errors
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings

build:
	@cargo build --release --locked

setup: setup-engine setup-clients

setup-engine:
	@deploy/setup/engine

setup-clients:
	@deploy/setup/clients
