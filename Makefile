# One-word targets. `make demo` and `make test` work on a fresh machine: they make .venv and install what they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check docs bench wheel night clean

demo: $(VENV)/.for-demo            ## start a cluster of two data centers, cut and heal its links, kill a node
	$(BIN)/crdtkv demo

# One worker a core: tests/conftest.py. Tests start hundreds of processes: none shall have to compile the package again.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.for-test            ## pass all tests; PYTEST_ARGS selects some
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

check: $(VENV)/.for-dev            ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.for-docs            ## build the documentation into site/; a warning or a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.for-demo           ## measure a cluster of one data center, and the disk
	$(BIN)/python benchmarks/one_datacenter.py
	$(BIN)/python benchmarks/group_commit.py
	$(BIN)/python benchmarks/core_path.py
	$(BIN)/python benchmarks/client_path.py

# Built from the sdist, outside this directory: compiled modules would otherwise replace the source here.
wheel: $(VENV)/.for-release        ## build sdist and wheel into dist/; compiled if there is a C compiler, else of pure Python
	if command -v $(CC) >/dev/null; then export HATCH_BUILD_HOOK_ENABLE_MYPYC=1; \
	  else echo 'there is no C compiler ($(CC)): this wheel is of pure Python'; fi; \
	  $(BIN)/python -m build --outdir dist .

night: $(VENV)/.for-demo           ## search planted bugs, then simulate runs of all fault classes, from fresh seeds, on all cores, until stopped
	$(BIN)/python -m tests.simulation.planted_bugs --jobs $$(nproc) $$(date +%s)000
	$(BIN)/python -m crdtkv.sim --seeds $$(date +%s)000.. --class each --jobs $$(nproc)

$(VENV)/.for-demo: EXTRAS := fast
$(VENV)/.for-test: EXTRAS := fast,test
$(VENV)/.for-dev: EXTRAS := dev
$(VENV)/.for-docs: EXTRAS := docs
$(VENV)/.for-release: EXTRAS := release
$(VENV)/.for-%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'
	touch $@

clean:                             ## remove what was installed and built
	rm -rf $(VENV) dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
