# Two commands do everything on a machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

LOWEST := $(VENV)/lowest

.PHONY: help demo test core-tests rooms-tests check types lowest lowest-quick pythons wheel-test hooks bench bench-attacks bench-codec bench-page spec sdk mutants mutants-quick clean

help:
	@echo "make demo   a gateway, a real device, a viewer and the judge, in under two minutes"
	@echo "make test   make check and all tests"
	@echo "make check  ruff, codespell, the direction of imports, mypy --strict, pyright and the clauses' coverage"
	@echo "make lowest       all tests with the lowest versions that pyproject.toml allows; make lowest-quick tries the core"
	@echo "make pythons      the core's and the adapter's tests on each Python from 3.11 on that this machine has"
	@echo "make wheel-test   build the wheel, install it in clean environments, and judge the reference gateway with it"
	@echo "make hooks        install the git hooks of .pre-commit-config.yaml"
	@echo "make spec   write the generated parts of the specification and of the viewer module anew"
	@echo "make bench  our gateway, its peers and the kernel's floor, in under four minutes; Linux, two CPUs"
	@echo "make bench-attacks  how late pictures are while a stranger floods the gateway, in half a minute"
	@echo "make bench-codec  what the codec costs beside its base64, in half a minute"
	@echo "make bench-page   from the device's stamp to the painted canvas, in half a minute; needs chromium"
	@echo "make sdk    try six releases of the device SDK and write their table anew, in about four minutes"
	@echo "make mutants  judge every mutant of the reference gateway, in about an hour on two cores; make mutants-quick judges 30"
	@echo "make clean  remove what the others made"

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "plexwire needs Python 3.11 or newer: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/python examples/demo.py

check: $(INSTALLED) types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	@! git ls-files '*.py' | xargs wc -l | awk '$$1 > 500 && $$2 != "total" { print $$2 ": over 500 lines" }' | grep .
	$(BIN)/lint-imports --no-logo
	$(BIN)/plexwire spec --coverage >/dev/null
	$(BIN)/python tools/mutants/blind_spots.py --check

# basedpyright is pyright with its node in the wheel; it asks the first python on the path where packages are.
types: $(INSTALLED)
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" basedpyright --level error
	PATH="$(CURDIR)/$(BIN):$$PATH" basedpyright --verifytypes plexwire_protocol --ignoreexternal

# React, a bundler and TypeScript, which the tests of the viewer module run; without npm those tests are skipped.
PAGES := $(VENV)/.pages
$(PAGES): server/tests/pages/package.json
	-npm install --prefix server/tests/pages --no-package-lock --silent
	@touch $@

# What one core does while the other is free is done side by side; then the rooms have both.
test: $(INSTALLED)
	@$(MAKE) --no-print-directory --output-sync=target --jobs=2 check core-tests $(PAGES)
	@$(MAKE) --no-print-directory rooms-tests

# The core alone is measured, by its own tests alone.
core-tests: $(INSTALLED)
	$(BIN)/coverage run -m pytest protocol/tests
	$(BIN)/coverage report --fail-under=100

# The other rooms mostly wait, so two files of theirs run at once; those of the suite, which take longest, begin.
rooms-tests: $(INSTALLED) $(PAGES)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder \
		conformance/tests client/tests server/tests adapter/tests spec/tests benchmarks/tests tools/mutants/tests

# A script that Hypothesis draws is new in each run, and so is the trouble with an old Hypothesis.
lowest-quick: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n 2 --no-header protocol/tests adapter/tests
	for run in 1 2 3; do CI= $(LOWEST)/bin/plexwire conform --quiet --only scripts || exit; done

# Without the two modules that play the device SDK, which asks for newer versions than ours.
lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
		--ignore conformance/tests/test_real_device.py --ignore conformance/tests/test_sdk_devices.py \
		conformance/tests client/tests server/tests adapter/tests spec/tests protocol/tests
	for run in 1 2 3 4 5 6 7 8; do CI= $(LOWEST)/bin/plexwire conform --quiet --only scripts || exit; done

$(LOWEST)/.installed: $(INSTALLED)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[all,test]'
	@touch $@

pythons: $(INSTALLED)
	$(BIN)/python tools/pythons.py

wheel-test: $(INSTALLED)
	$(BIN)/python tools/wheel.py

hooks: $(INSTALLED)
	$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push

spec: $(INSTALLED)
	$(BIN)/python spec/tools/generate.py
	$(BIN)/python tools/viewer_module.py

BENCH := $(VENV)/.bench
$(BENCH): $(INSTALLED) benchmarks/package.json
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	-npm install --prefix benchmarks --no-package-lock --silent
	@touch $@

bench: $(BENCH)
	PYTHONPATH=benchmarks $(BIN)/python -m plexwire_bench

bench-attacks: $(BENCH)
	PYTHONPATH=benchmarks $(BIN)/python -m plexwire_bench.attacks

bench-codec: $(BENCH)
	$(BIN)/python benchmarks/codec.py --fast --quiet

bench-page: $(INSTALLED)
	$(BIN)/python benchmarks/page_latency.py

sdk: $(INSTALLED)
	$(BIN)/python tools/sdk/matrix.py

# In memory first; then over sockets what memory does not reach or show, mostly waiting, so more of them at once.
mutants: $(INSTALLED)
	rm -f $(VENV)/mutants.ndjson
	rows=$(VENV)/mutants.ndjson; judge="$(BIN)/python tools/mutants/mutants.py judge --rows $$rows"; \
	$$judge; memory=$$?; $$judge --sockets --jobs 6; sockets=$$?; \
	$(BIN)/python tools/mutants/mutants.py summary $$rows && $(BIN)/python tools/mutants/blind_spots.py && \
	exit $$((memory | sockets))

mutants-quick: $(INSTALLED)
	$(BIN)/python tools/mutants/mutants.py judge --sample 30 --first

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
