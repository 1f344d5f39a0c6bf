# Each target does all of its set-up itself. Needed beforehand: make, git and Python 3.11 or newer.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input
NPM := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
ARGS ?=

help:  ## what there is to call
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(VENV)/.run  ## run the quickstart: a listener on port 2525 and a script that reacts
	@$(BIN)/mailbell serve -c examples/quickstart.toml $(ARGS)

# Two at a time where no test starts servers or has to keep time: half of what they take is waiting.
ALONE := tests/e2e tests/faults tests/lease tests/sinks

test: $(VENV)/.test tests/e2e/node/node_modules/.package-lock.json  ## run the tests (ARGS="tests/smtp -k pipelining" chooses)
	@scripts/apt test page
ifeq ($(ARGS),)
	@$(BIN)/pytest -m "not faults" -n 2 --dist loadfile $(addprefix --ignore=,$(ALONE))
	@$(BIN)/pytest -m "not faults" $(ALONE)
else
	@$(BIN)/pytest -m "not faults" $(ARGS)
endif

check: $(VENV)/.check docs  ## format, lint, types, the layers of the house, the documentation's site
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint packaging/Dockerfile

screenshots: $(VENV)/.test  ## make docs/screenshots anew: every view of the page (ARGS="inbox sinks" chooses)
	@scripts/apt page screenshots
	@$(BIN)/python -m tests.e2e.page.screenshots $(ARGS)

faults: $(VENV)/.test  ## kills, full disks and fuzzing, for minutes
	@scripts/apt test
	$(BIN)/pytest -m faults $(ARGS)

bench: .bench-ready  ## speed beside the peers, in under five minutes (ARGS=--publish puts it into docs/benchmarks)
	@$(BIN)/python -m bench $(ARGS)

bench-full: .bench-ready $(VENV)/.test  ## all benchmarks, into docs/benchmarks
	@$(BIN)/python -m bench --full --publish $(ARGS)

.bench-ready: $(VENV)/.bench bench/node/node_modules/.package-lock.json
	@scripts/apt bench
	@scripts/peers

bench-check: $(VENV)/.bench  ## fails where this tree is slower than another commit (BASE=HEAD~1) by more than 15 %
	@scripts/apt bench
	@$(BIN)/python -m bench check $(ARGS)

docs: $(VENV)/.docs  ## build the documentation's site into site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

settings: $(VENV)/.run  ## write docs/settings.md and packaging/mailbell.toml anew, after a change of a setting
	@$(BIN)/mailbell settings >docs/settings.md
	@$(BIN)/mailbell settings --toml | sed 's|^data = .*|data = "/var/lib/mailbell"|' >packaging/mailbell.toml

format: $(VENV)/.check  ## put the code in its form
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: $(VENV)/.lock  ## compile pyproject.toml's dependencies into requirements/ (ARGS=--upgrade takes the newest)
	$(BIN)/python scripts/lock.py $(ARGS)

clean:  ## remove what make has made; mail is left alone
	rm -rf $(VENV) tests/e2e/node/node_modules bench/node/node_modules bench/.peers bench/results
	rm -rf site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# A stamp for each lock that is installed, so that a target which has all it needs starts at once.
$(BIN)/python:
	@scripts/venv $(VENV)

$(VENV)/.project: pyproject.toml requirements/build.txt | $(BIN)/python
	@echo "installing the project into $(VENV)"
	@$(PIP) install --require-hashes -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.%: requirements/%.txt $(VENV)/.project
	@echo "installing $<"
	@$(PIP) install --require-hashes -r $<
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	@scripts/apt node
	@if command -v npm >/dev/null; then echo "installing $<"; cd $* && $(NPM) && touch node_modules/.package-lock.json; fi

.PHONY: help serve test check faults bench bench-full .bench-ready bench-check screenshots docs settings format lock clean
