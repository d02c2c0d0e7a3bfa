# Two commands: `make run` opens the page and begins the codelab's run; `make test` runs the tests.
# Everything happens in .venv; another Python: make run PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Three at a time, since many wait for processes of their own; whoever has nothing left takes half of what another has.
PYTEST := $(BIN)/python -m pytest -n 3 --dist worksteal

.PHONY: run test test-fast pins test-browser bench-studio bench-serving bench-scaling bench-agreement check bench soak screenshots looks \
	site architecture package clean

run: $(VENV)/installed
	$(BIN)/digitlab

test: check
	$(PYTEST) --durations 25

# The page in Debian's Chromium.
test-browser: $(VENV)/installed-test
	$(PYTEST) -m browser

test-fast: $(VENV)/installed-test
	$(PYTEST) -m "not slow and not interop and not browser"

# Renews tests/pins, for what people rely on and was changed on purpose.
pins: $(VENV)/installed-test
	RENEW_PINS=1 $(BIN)/python -m pytest tests/test_pins.py

check: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed
	$(BIN)/python benchmarks/roofline.py
	$(BIN)/python benchmarks/codelab.py
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/finder_page.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/time_to_accuracy.py
	$(BIN)/python benchmarks/readme.py

bench-studio: $(VENV)/installed-test
	$(BIN)/python benchmarks/class_room.py
	$(BIN)/python benchmarks/studio.py
	$(BIN)/python benchmarks/visits.py
	$(BIN)/python benchmarks/apart.py

# Needs Debian's wrk.
bench-serving: $(VENV)/installed-test
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/soak.py

# Mutated inputs for all parsers, round after round until Ctrl-C; each round has another seed.
soak: $(VENV)/installed-test
	$(BIN)/python -m tests.hostile.rounds

bench-scaling: $(VENV)/installed
	$(BIN)/python benchmarks/scaling.py

# Measures again what docs/ states: takes minutes.
bench-agreement: $(VENV)/installed-test
	$(BIN)/python benchmarks/agreement.py
	$(BIN)/python benchmarks/fast.py

# docs/ as a site, with the references made from the program; every warning is an error.
site: $(VENV)/installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet docs build/site
	$(BIN)/python docs/tools/links.py build/site
	@echo "Open build/site/index.html"

# The picture of the layers and the three journeys of ARCHITECTURE.md.
architecture: $(VENV)/installed
	$(BIN)/python docs/tools/layers.py
	$(BIN)/python docs/tools/journeys.py --write

# What would be published, built and tried in an empty environment; nothing is uploaded.
package:
	$(PYTHON) docs/tools/package.py

# The README's pictures, from the real page; needs Debian's Chromium.
screenshots: $(VENV)/installed-test
	$(BIN)/python benchmarks/screenshots.py

# Every tab, in every state, at three widths, light and dark, in build/looks; 390.png, 1280.png and 1920.png have all.
looks: $(VENV)/installed-test
	$(BIN)/python benchmarks/screenshots.py --looks build/looks

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "digitlab needs Python 3.11 or newer; name one with: make run PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt requirements-build.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing digitlab into $(VENV) ..."
	$(PIP) install --require-hashes -r requirements.txt -r requirements-build.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-test: requirements-test.txt $(VENV)/installed
	@echo "Installing what the tests need ..."
	$(PIP) install --require-hashes -r requirements-test.txt
	@touch $@

$(VENV)/installed-docs: requirements-docs.txt $(VENV)/installed
	@echo "Installing what the site needs ..."
	$(PIP) install --require-hashes -r requirements-docs.txt
	@touch $@

clean:
	rm -rf $(VENV) .venvs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache tests/tfjs/node_modules
