# `make` alone lists what there is. No logic lives here: each line calls a program that can be run by hand.
.DEFAULT_GOAL := help
PY := .venv/bin

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

setup: ## Install what is missing: uv, the Python environment, anvil, litecoind, Chromium
	@scripts/setup

demo: setup ## Take real payments on real nodes, and be attacked as CoinsPaid was
	@$(PY)/holdfast demo

check: setup ## Everything a reviewer would say: format, lint, types, imports, spelling
	@scripts/check

test: setup ## Check, then run every test
	@scripts/check
	@$(PY)/pytest -n 2 --dist loadgroup

torture: setup ## kill -9 a thousand times between any two steps of paying out, from a fresh seed
	@HOLDFAST_KILLS=1000 HOLDFAST_SEED=$${HOLDFAST_SEED:-$$(date +%s)} $(PY)/pytest -s tests/system/test_money_out_killed.py

drills: setup ## Play every attack and measure what it costs; then each in a build without the guard it is about
	@$(PY)/holdfast drill --all
	@$(PY)/pytest -m long tests/drill

bench: setup ## Print the figures of the speed page
	@$(PY)/holdfast bench

lock: ## Resolve the versions anew and write the hash-pinned lock files
	@scripts/lock

.PHONY: help setup demo check test torture drills bench lock
