# `make help` lists what there is. Everything installs itself into .venv and .cache on first use.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
TOOLS := .cache/tools/bin
INFERENCE := images/inference
SERVER := .cache/inference/venv
LOCK_IMAGE := pip compile -q --generate-hashes --no-emit-index-url --no-header \
  --python-version 3.11 --python-platform x86_64-manylinux_2_28

.PHONY: help render check test test-inference image-test scan sbom e2e validate schemas fmt tools bench bench-inference demo \
  coverage soak lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

render: $(VENV)/.run ## render the catalog into clusters/ and validate the result
	@$(BIN)/kaitops render
	@$(BIN)/kaitops validate

validate: $(VENV)/.run ## validate what is committed
	@$(BIN)/kaitops validate

check: $(VENV)/.dev ## ruff, mypy, import contracts and the fast tests: no Go, at most 3 minutes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/kaitops schemas --check
	@$(BIN)/kaitops render --check --no-cache
	@$(BIN)/pytest -q -n 2 -m "not slow"

test: $(VENV)/.dev tools ## every test, with kustomize, kubeconform, promtool and a Kubernetes API server built from pinned sources
	@PATH="$(CURDIR)/$(TOOLS):$$PATH" $(BIN)/pytest -q -n 2
	@$(MAKE) --no-print-directory test-inference

test-inference: $(SERVER)/.ready ## the inference server's types and tests, with torch and vLLM in an environment of their own
	@cd $(INFERENCE) && "$(CURDIR)/$(SERVER)/bin/mypy"
	@cd $(INFERENCE) && "$(CURDIR)/$(SERVER)/bin/pytest" -q -n 2

image-test: $(VENV)/.dev ## build the images on a Debian made here, start them as a pod would, ask for a chat (as root, 10 GB)
	@$(BIN)/pytest -q -rs -s -m image tests/images

scan: $(VENV)/.scan ## look for known vulnerabilities in what the images install (asks the package index)
	@for lock in $(INFERENCE)/requirements/cpu.txt $(INFERENCE)/requirements/gpu.txt requirements/reconciler.txt; do \
	  $(BIN)/pip-audit --disable-pip --require-hashes --strict --progress-spinner off -r "$$lock"; done

sbom: $(VENV)/.run ## write the bills of materials of the inference images into .cache/sbom
	@mkdir -p .cache/sbom
	@for target in cpu gpu; do $(BIN)/python -m tools.sbom "inference-$$target" "$$(git rev-parse HEAD)" \
	  "$(INFERENCE)/requirements/$$target.txt" > ".cache/sbom/$$target.cdx.json"; done

fmt: $(VENV)/.dev ## format the Python code
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format .

schemas: $(VENV)/.dev ## write the editor schemas of the catalog and the schemas of the kinds that we emit
	@$(BIN)/kaitops schemas
	@$(BIN)/python -m tools.distill

e2e: $(VENV)/.e2e ## the rendered tree under a real Argo CD; its first run builds Argo CD, which takes some minutes
	@$(BIN)/python -m tools.build checks argocd kube:etcd,kube-apiserver,kube-controller-manager
	@$(BIN)/pytest -q -m e2e tests/e2e

tools: $(VENV)/.run ## build what the tests start beside Python into .cache/ (once per version)
	@$(BIN)/python -m tools.build checks kube:etcd,kube-apiserver promtool

bench: $(VENV)/.dev tools ## measure the generator and the reconciler beside their peers and print two tables
	@$(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.reconciler.bench

bench-inference: $(SERVER)/.ready ## measure the inference server beside its peers and print the table
	@cd $(INFERENCE) && "$(CURDIR)/$(SERVER)/bin/python" -m tests.bench
	@cd $(INFERENCE) && GOMP_SPINCOUNT=5000 "$(CURDIR)/$(SERVER)/bin/python" -m tests.bench.forward_loop
	@cd $(INFERENCE) && "$(CURDIR)/$(SERVER)/bin/python" -m tests.bench.pairs

demo: $(VENV)/.dev tools ## watch two NodeClaims live and end: API server, reconciler and a simulated Azure
	@$(BIN)/python -m tests.demo

coverage: $(VENV)/.dev ## how much of the reconciler's protocol the fast tests run through, lines and branches: 95 % at least
	@mkdir -p .cache
	@$(BIN)/coverage run -m pytest -q -n 0 -m "not slow" tests/reconciler
	@$(BIN)/coverage report

soak: $(VENV)/.dev tools ## kill reconcilers for half an hour, then let hypothesis look for orders of events that break them
	@$(BIN)/python -m tests.reconciler.soak --claims 500 --minutes 30
	@SOAK=1 $(BIN)/pytest -q -n 2 tests/reconciler/test_any_order.py tests/reconciler/test_crash.py

lock: $(UV) ## resolve requirements/*.in again into hashed locks
	@for name in uv run dev reconciler tools bench e2e scan; do \
	  $(UV) pip compile -q --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 \
	    "requirements/$$name.in" -o "requirements/$$name.txt"; done
	@cd $(INFERENCE)/requirements && ../../../$(UV) $(LOCK_IMAGE) --override override.txt test.in -o test.txt
	@cd $(INFERENCE)/requirements && ../../../$(UV) $(LOCK_IMAGE) --override override.txt -c test.txt cpu.in -o cpu.txt
	@cd $(INFERENCE)/requirements && ../../../$(UV) $(LOCK_IMAGE) gpu.in -o gpu.txt

clean: ## remove everything that was set up
	rm -rf $(VENV) .cache

$(UV): requirements/uv.txt
	@echo "setting up Python packages in $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kaitops needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/uv.txt
	@touch $@

$(VENV)/.run: requirements/run.txt pyproject.toml $(UV)
	@VIRTUAL_ENV=$(VENV) $(UV) pip install -q --compile-bytecode --require-hashes -r requirements/run.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install -q --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q generator
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/reconciler.txt $(VENV)/.run
	@VIRTUAL_ENV=$(VENV) $(UV) pip install -q --compile-bytecode --require-hashes -r requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install -q --compile-bytecode --require-hashes -r requirements/reconciler.txt
	@touch $@

$(VENV)/.e2e: requirements/e2e.txt $(VENV)/.dev
	@VIRTUAL_ENV=$(VENV) $(UV) pip install -q --compile-bytecode --require-hashes -r requirements/e2e.txt
	@touch $@

$(VENV)/.scan: requirements/scan.txt $(VENV)/.run
	@VIRTUAL_ENV=$(VENV) $(UV) pip install -q --require-hashes -r requirements/scan.txt
	@touch $@

$(SERVER)/.ready: $(INFERENCE)/requirements/test.txt $(INFERENCE)/pyproject.toml $(UV)
	@echo "setting up the inference server's packages in $(SERVER) (once, 5 GB)"
	@$(UV) venv -q --clear --python $(PYTHON) $(SERVER)
	@VIRTUAL_ENV=$(SERVER) $(UV) pip install -q --compile-bytecode --no-deps --require-hashes -r $(INFERENCE)/requirements/test.txt
	@VIRTUAL_ENV=$(SERVER) $(UV) pip install -q --no-deps --no-build-isolation -e $(INFERENCE)
	@touch $@
