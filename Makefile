# The project's commands; `make` alone lists them.
# Another Python: make PYTHON=python3.12 test. Flags for JupyterLab: make lab LAB_FLAGS="--no-browser --port=8890".

PYTHON ?= python3
# In a container one is root, which JupyterLab refuses unless told.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup lab test test-browser test-slow lint notebooks reproduce ledger site checks release bench clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## make .venv and install the project into it

# The stamp comes last, so a set-up that was interrupted is taken up again. Matplotlib makes its font cache before the
# first figure, which would carry the warning that it does so.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "sbgm needs Python 3.11 or newer, and '$(PYTHON)' is not one. If you have one under another name:"; \
	  echo "    make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@$(PYTHON) -c 'import venv, ensurepip' || { \
	  echo "'$(PYTHON)' can't make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv"; \
	  exit 1; } >&2
	@$(PY) -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install -e '.[all]'
	@$(PY) -c 'import matplotlib.font_manager'
	@touch $@

lab: $(INSTALLED)  ## set up, then open JupyterLab at chapter 0, in work/, your copy of the chapters
	$(PY) tools/open_lab.py $(AS_ROOT) $(LAB_FLAGS)

test: $(INSTALLED)  ## set up, then run the unit tests and compare every notebook with a fresh run
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --nbval notebooks tests

test-browser: $(INSTALLED)  ## drive the sliders and open the site in Chromium; fail where there is none
	SBGM_REQUIRE_BROWSER=1 $(PY) -m pytest tests/browser

test-slow: $(INSTALLED)  ## run the tests that take long: hours in all
	$(PY) -m pytest -m slow

lint: $(INSTALLED)  ## check the code's style, and the notebooks' form without executing them
	$(PY) -m ruff check .
	$(PY) tools/notebooks.py check

notebooks: $(INSTALLED)  ## execute every notebook in place, and put it in the form we commit
	$(PY) tools/notebooks.py build

reproduce: $(INSTALLED)  ## execute the whole series into runs/reproduce/, then print the ledger of claims
	@$(PY) tools/notebooks.py run runs/reproduce; status=$$?; $(PY) -m sbgm ledger && exit $$status

ledger: $(INSTALLED)  ## rebuild data/results/README.md, the table of claims
	$(PY) -m sbgm ledger --write

site: $(INSTALLED)  ## build the site from the committed outputs, offline, into build/site/html/
	$(PY) docs/build.py

checks: $(INSTALLED)  ## print what the exercises' checks say to every right and wrong answer known
	$(PY) tools/prove_checks.py

release: $(INSTALLED)  ## write the chapters without solutions: make release VARIANT=1
	$(PY) tools/notebooks.py release $(or $(FOLDER),build/course) --variant $(or $(VARIANT),0) $(if $(SOURCE),--source $(SOURCE))

bench: $(INSTALLED)  ## measure the speeds that data/results/SPEED.md states
	$(PY) tools/bench.py

clean:  ## remove .venv and caches; what work/, runs/ and data/ hold stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
