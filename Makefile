# make setup   an environment in .venv, without torch
# make demo    build the default network and run the whole test set through its Verilog
# make boards  add the tools that make bitstreams and load them into boards
# make docs    the pages of docs/ and the API reference, build/docs/index.html
# make test    everything that CI runs, a quarter of an hour
# make quick   a part of that in minutes: tests/ without bitstreams, and of sim/ the smoke set
# make whole   whole test sets through networks with large maps, the golden model and the Verilog,
#              and all committed networks: hours, after changes of the arithmetic or of networks
# make clean   remove all that these made

PYTHON ?= python3
BIN := .venv/bin
# a process has whole files: what their tests share is made once
JOBS := -n auto --dist loadfile
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock

need = @command -v $(1) >/dev/null || { echo "$(1) is missing: $(2)" >&2; exit 1; }

.PHONY: setup demo boards docs test quick whole clean

setup: .venv/setup

demo: setup
	$(call need,g++,apt install g++)
	$(BIN)/python scripts/demo.py

boards: .venv/setup-boards
	@echo "the first run of each tool compiles it, up to a minute:"
	-$(BIN)/python scripts/build.py --doctor

docs: .venv/setup-docs
	rm -rf docs/api
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --nitpicky docs build/docs

test: .venv/setup-test docs
	$(call need,g++,apt install g++)
	$(call need,iverilog,apt install iverilog)
	$(call need,icebox_vlog,apt install fpga-icestorm)
	$(BIN)/ruff check .
	$(BIN)/python -m pytest $(JOBS) tests sim
	SIM=icarus $(BIN)/python -m pytest $(JOBS) sim -m smoke

quick: .venv/setup-test
	$(call need,g++,apt install g++)
	$(BIN)/ruff check .
	$(BIN)/python -m pytest $(JOBS) tests -m "not slow and not whole"
	$(BIN)/python -m pytest $(JOBS) sim -m smoke

whole: .venv/setup-test
	$(BIN)/python -m pytest $(JOBS) -m whole

clean:
	rm -rf .venv build docs/api *.egg-info .pytest_cache .ruff_cache sim_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(call need,$(PYTHON),Python 3.11 or newer is needed (or name one: make PYTHON=...))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is \
	needed, this is " + sys.version.split()[0] + "; name another one: make PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/setup: pyproject.toml requirements.lock | .venv/bin/python
	$(PIP) -e .
	@touch $@

.venv/setup-boards: pyproject.toml requirements.lock | .venv/bin/python
	$(PIP) -e '.[boards]'
	@touch $@ .venv/setup

.venv/setup-docs: pyproject.toml requirements.lock | .venv/bin/python
	$(PIP) -e '.[train,docs]'
	@touch $@ .venv/setup

.venv/setup-test: pyproject.toml requirements.lock tests/frameworks.txt | .venv/bin/python
	$(PIP) -e '.[train,boards,nir,test,docs]'
	$(PIP) --no-deps -r tests/frameworks.txt
	@touch $@ .venv/setup .venv/setup-boards .venv/setup-docs
