# The project's commands; `make` alone lists them.
# Another Python: make PYTHON=python3.12 test. The versions we tested: make LOCKED=1 lab. PyTorch for an NVIDIA GPU, or
# for none: make TORCH=cuda lab, make TORCH=cpu lab. Flags for JupyterLab: make lab LAB_FLAGS="--no-browser --port=8890".

PYTHON ?= python3
# In a container one is root, which JupyterLab refuses unless told.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

VENV := .venv
PY := $(VENV)/bin/python
# A stamp for each of pyproject.toml's extras that is installed: a reader needs `notebooks`, most other commands `all`,
# which holds it, and those about marks `grading`, which adds menus to JupyterLab. With LOCKED=1 the versions are those in
# constraints.txt, which the tests passed with.
READER := $(VENV)/.installed-notebooks$(if $(LOCKED),-locked)
ALL := $(VENV)/.installed-all$(if $(LOCKED),-locked)
GRADING := $(VENV)/.installed-grading$(if $(LOCKED),-locked)
LIMITS := $(if $(LOCKED),constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup lab test test-all test-browser test-slow lint notebooks reproduce ledger site figures checks release bench lock clean

help:  ## list these commands
	@echo "For you:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "For contributors:"
	@awk -F ':.*##! ' '/^[a-z-]+:.*##! / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(ALL)  ## make .venv and install the project into it, with all that its other commands need

# The stamp comes last, so a set-up that was interrupted is taken up again. Matplotlib makes its font cache before the
# first figure, which would carry the warning that it does so.
$(READER) $(ALL): pyproject.toml $(LIMITS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "sbgm needs Python 3.11 or newer, and '$(PYTHON)' is not one. If you have one under another name:"; \
	  echo "    make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@$(PYTHON) -c 'import venv, ensurepip' || { \
	  echo "'$(PYTHON)' can't make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv"; \
	  exit 1; } >&2
	@$(PY) -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@index=$$($(PY) tools/torch_build.py $(TORCH)) && set -x && \
	  $(PY) -m pip install -e '.[$(if $(filter $(ALL),$@),all,notebooks)]' $(LIMITS:%=-c %) $$index
	@$(PY) -c 'import matplotlib.font_manager'
	@touch $(READER) $@

$(GRADING): $(ALL)
	$(PY) -m pip install -e '.[grading]' $(LIMITS:%=-c %)
	@touch $@

lab: $(READER)  ## set up, then open JupyterLab at chapter 0, in work/, your copy of the chapters
	$(PY) tools/open_lab.py $(AS_ROOT) $(LAB_FLAGS)

# Three workers keep two cores busy: some wait for a kernel to answer, or for the browser. Each loads and collects all tests.
# Folders are begun in the order in which they stand: first those of which a file takes minutes, last those of seconds.
PYTEST = $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: $(ALL)  ## set up, test the library, and compare every lesson with a fresh run
	$(PYTEST) --nbval notebooks tests

test-all: $(GRADING)  ##! the same, and the evidence with its scripts, the site, the wheel, the tools, a class of students, the tests in a browser
	SBGM_FIGURES=$(if $(LOCKED),fail,name) $(PYTEST) --nbval docs tools notebooks evidence tests

test-browser: $(ALL)  ##! drive the sliders and open the site in Chromium; fail where there is none
	SBGM_REQUIRE_BROWSER=1 $(PY) -m pytest docs/tests/browser

test-slow: $(ALL)  ##! run the tests that take long: hours in all
	$(PY) -m pytest -m slow

lint: $(ALL)  ##! check the code's style, the library's types, and the notebooks' names and form without executing them
	$(PY) -m ruff check .
	$(PY) -m ruff check --isolated --select F821 notebooks
	$(PY) -m pyright --pythonpath $(PY)
	$(PY) tools/notebooks.py check

notebooks: $(ALL)  ##! execute every notebook in place, and put it in the form we commit
	$(PY) tools/notebooks.py build

reproduce: $(ALL)  ##! execute the whole series into runs/reproduce/, then confirm every claim of the ledger
	$(PY) tools/notebooks.py run runs/reproduce
	$(PY) -m pytest evidence/tests/test_claims.py

ledger: $(ALL)  ##! rebuild evidence/README.md, the table of claims
	$(PY) evidence/page.py

site: $(ALL)  ## build the site from the committed outputs, offline, into build/site/html/
	$(PY) docs/digits.py
	$(PY) docs/build.py

figures: $(ALL)  ## write the chapters' figures for slides, and their captions, into build/figures/
	$(PY) docs/figures.py

checks: $(ALL)  ## print what the exercises' checks say to every right and wrong answer known
	$(PY) tests/prove_checks.py

release: $(GRADING)  ## write chapters as a course of nbgrader, which marks them: make release CHAPTERS="1 4"
	$(PY) tools/release.py $(or $(FOLDER),course) $(if $(CHAPTERS),--chapters $(CHAPTERS)) \
	  $(SEED:%=--seed %)

bench: $(ALL)  ##! measure the speeds that data/results/SPEED.md states
	$(PY) tools/bench.py

# uv keeps the versions that it finds in the file, and adds what other platforms need. A local label, such as +cpu,
# names a build that only some package index has.
lock: $(GRADING)  ##! write constraints.txt, the versions in .venv, completed for every platform
	$(PY) -m pip install --quiet uv
	$(PY) -m pip freeze | grep == | sed 's/+.*//' > constraints.txt
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate \
	  --custom-compile-command 'make lock' pyproject.toml -o constraints.txt

clean:  ## remove .venv, build/, dist/ and caches; what work/, runs/ and data/ hold stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
