# make demo   install into .venv, run the example study, say where its report is
# make test   lint, format, types, and the tests that take minutes
# make test-all  those, then the tests that are long by nature
# make test-lowest  the tests that take minutes, with the oldest versions that are allowed
# make test-accelerator  every stage on the accelerator that JAX finds
# make mutants  breaks of one line, each of which its tests must notice (twenty minutes)
# make lint   lint, format, types
# make api    write docs/api.txt, the list of the public interface
# make docs   the site in build/docs/html, the gallery executed, a warning an error
# make dist   sdist and wheel into dist/, checked, and used in an empty environment
# make clean  remove .venv and everything that can be made again

VENV := .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
CANDIDATES := python3 python3.13 python3.12 python3.14 python
# The oldest versions of others are those with wheels for the oldest Python.
OLDEST_FIRST := python3.12 python3.13 python3.14 python3 python
# What a Python must have to be chosen: the version, and the means to make a venv.
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint

.DEFAULT_GOAL := demo
.PHONY: demo test test-all test-accelerator test-lowest mutants lint api docs dist clean

# $(call make_venv,FOLDER,CANDIDATES): with the first of them that is suitable.
define make_venv
for candidate in $(2); do \
  if $$candidate -c '$(SUITABLE)' >/dev/null 2>&1; then chosen=$$candidate; break; fi; \
done; \
if [ -z "$$chosen" ]; then \
  echo "nnft_ppl needs Python 3.12 or newer, with venv; none of these is:" \
    "$(2). Install one (python.org, or your system's python3 and" \
    "python3-venv packages) and run make again." >&2; exit 1; \
fi; \
echo "making $(1) with $$($$chosen --version)"; \
$$chosen -m venv --clear $(1)
endef

demo: $(INSTALLED)
	$(BIN)/nnft study examples/relu_net.toml

# Two workers on two cores: a BLAS of one thread each, or they wait for each other.
PYTEST_OPTIONS := -n 2 --dist worksteal
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_OPTIONS)

test: lint
	$(PYTEST) -m "not slow"

test-all: test
	$(PYTEST) -m slow

test-accelerator: $(INSTALLED_DEV)
	$(BIN)/python -m pytest tests/accelerator --accelerator found

mutants: $(INSTALLED_DEV)
	$(BIN)/python tests/mutants.py --jobs 2

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# An unfinished or outdated .venv is made anew, a good one is kept.
$(INSTALLED): pyproject.toml constraints.txt
	@if ! $(BIN)/python -c '$(SUITABLE); import pip' >/dev/null 2>&1; then \
	  $(call make_venv,$(VENV),$(CANDIDATES)); \
	fi
	@echo "installing nnft_ppl and its dependencies into $(VENV) (a minute or two)"
	@$(BIN)/python $(PIP_INSTALL) constraints.txt --editable .
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo "installing the tools for development"
	@$(BIN)/python $(PIP_INSTALL) constraints.txt --editable '.[dev]'
	@touch $@

# Always anew: what pip takes where no bound is given may have changed since.
test-lowest:
	@$(call make_venv,$(LOWEST),$(OLDEST_FIRST))
	$(LOWEST)/bin/python tests/lowest_versions.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python $(PIP_INSTALL) $(LOWEST)/lowest.txt --editable '.[dev]'
	OPENBLAS_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest $(PYTEST_OPTIONS) -m "not slow"

api: $(INSTALLED_DEV)
	$(BIN)/python tests/public_api.py

docs: $(INSTALLED_DEV)
	$(BIN)/python docs/site/build.py build/docs
	@echo "open build/docs/html/index.html"

# `build` makes the wheel from the sdist; the one from the source folder has the same bytes.
dist: $(INSTALLED_DEV)
	rm -rf build dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m build --no-isolation --wheel --outdir build
	cmp dist/*.whl build/*.whl
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m venv build/empty
	build/empty/bin/python $(PIP_INSTALL) constraints.txt dist/*.whl
	@echo "away from here, without the tools for development:"
	unset PYTHONPATH; build=$(CURDIR)/build; nnft=$$build/empty/bin/nnft; cd / && \
	  $$nnft --help && $$nnft architectures && \
	  $$nnft correlators relu-net --width 20 --num-draws 10000 -o $$build/corr.nc && \
	  $$nnft fit $$build/corr.nc --operator lambda_0 --cutoff 10 \
	    --sampler conjugate -o $$build/fit.nc

clean:
	rm -rf $(VENV) $(LOWEST) runs build dist .pytest_cache .mypy_cache .ruff_cache
	find nnft_ppl plugins tests -name __pycache__ -prune -exec rm -rf {} +
