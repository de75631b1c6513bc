# All targets work in .venv, which the first one that is run creates.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-gpu lint bench bench-check gallery notebooks sweep clean

demo: .venv/installed
	$(BIN)/tfviz demo -o demo
	@echo "look at demo/sheet.png"

test: .venv/tested
	$(BIN)/python -m pytest --numprocesses auto

test-slow: .venv/tested
	$(BIN)/python -m pytest --numprocesses auto -m slow

# On a machine with a graphics card, whose memory one process takes as it needs it.
test-gpu: .venv/tested
	TFVIZ_TEST_GPU=required TF_FORCE_GPU_ALLOW_GROWTH=true $(BIN)/python -m pytest

lint: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/installed
	$(BIN)/python benchmarks/step.py

bench-check: .venv/installed
	$(BIN)/python benchmarks/step.py --check

gallery: .venv/installed
	$(BIN)/python examples/gallery.py docs/pictures
	$(BIN)/python examples/guide_pictures.py docs/pictures

# NAME=06-deepdream runs only that one.
notebooks: .venv/documented
	$(BIN)/python scripts/notebooks.py $(NAME)

# FULL=1 tests every network of keras.applications. An interrupted sweep continues.
sweep: .venv/tested
	$(BIN)/python -m pytest tests/integration/test_sweep.py -m sweep

.PHONY: docs linkcheck
# The site, in build/docs. A warning, such as a link that leads nowhere, is an error; so
# all pages are read each time.
docs: .venv/documented
	$(BIN)/python -m sphinx -E -n -W --keep-going --quiet docs build/docs
	@echo "open build/docs/index.html"

# Whether links to other sites still lead somewhere; needs the internet.
linkcheck: .venv/documented
	$(BIN)/python -m sphinx -b linkcheck --quiet docs build/linkcheck

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

.venv/documented: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs,report]' pandas
	touch $@

clean:
	rm -rf .venv .peers build dist demo *.egg-info
