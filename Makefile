# make demo   install into .venv, run the example study, say where its report is
# make test   lint, format, types, and the tests that take minutes
# make test-all  those, then the tests that are long by nature
# make lint   lint, format, types
# make clean  remove .venv and everything that can be made again

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
CANDIDATES := python3 python3.13 python3.12 python3.14 python
# What a Python must have to be chosen: the version, and the means to make a venv.
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt

.DEFAULT_GOAL := demo
.PHONY: demo test test-all lint clean

demo: $(INSTALLED)
	$(BIN)/nnft study examples/relu_net.toml

# Two workers on two cores: a BLAS of one thread each, or they wait for each other.
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test: lint
	$(PYTEST) -m "not slow"

test-all: test
	$(PYTEST) -m slow

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# An unfinished or outdated .venv is made anew, a good one is kept.
$(INSTALLED): pyproject.toml constraints.txt
	@if ! $(BIN)/python -c '$(SUITABLE); import pip' >/dev/null 2>&1; then \
	  for candidate in $(CANDIDATES); do \
	    if $$candidate -c '$(SUITABLE)' >/dev/null 2>&1; then chosen=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$chosen" ]; then \
	    echo "nnft_ppl needs Python 3.12 or newer, with venv; none of these is:" \
	      "$(CANDIDATES). Install one (python.org, or your system's python3 and" \
	      "python3-venv packages) and run make again." >&2; exit 1; \
	  fi; \
	  echo "making $(VENV) with $$($$chosen --version)"; \
	  $$chosen -m venv --clear $(VENV); \
	fi
	@echo "installing nnft_ppl and its dependencies into $(VENV) (a minute or two)"
	@$(PIP_INSTALL) --editable .
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo "installing the tools for development"
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache
	find nnft_ppl plugins tests -name __pycache__ -prune -exec rm -rf {} +
