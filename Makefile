# Two commands do everything on a machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test check bench bench-attacks bench-codec bench-page spec sdk clean

help:
	@echo "make demo   a gateway, a real device, a viewer and the judge, in under two minutes"
	@echo "make test   ruff, mypy --strict and all tests"
	@echo "make spec   write the generated parts of the specification anew"
	@echo "make bench  our gateway, its peers and the kernel's floor, in under four minutes; Linux, two CPUs"
	@echo "make bench-attacks  how late pictures are while a stranger floods the gateway, in half a minute"
	@echo "make bench-codec  what the codec costs beside its base64, in half a minute"
	@echo "make bench-page   from the device's stamp to the painted canvas, in half a minute; needs chromium"
	@echo "make sdk    try six releases of the device SDK and write their table anew, in about four minutes"
	@echo "make clean  remove what the others made"

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "plexwire needs Python 3.11 or newer: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/python examples/demo.py

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/plexwire spec --coverage >/dev/null

# The core alone is measured, by its own tests alone.  The other rooms mostly wait, so two files of theirs run at once;
# those of the suite, which take longest, begin.
test: check
	$(BIN)/coverage run -m pytest protocol/tests
	$(BIN)/coverage report --fail-under=100
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder \
		conformance/tests client/tests server/tests adapter/tests spec/tests

spec: $(INSTALLED)
	$(BIN)/python spec/tools/generate.py

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
	$(BIN)/python conformance/tools/sdk/matrix.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
