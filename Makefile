# Every target does its own set-up on a fresh machine, then its job. `make` alone lists them.
#
#   PYTHON=python3.12 make test    another interpreter for .venv
#   make -j4 test                  more compile jobs

PYTHON ?= python3
CLANG_FORMAT ?= clang-format-19
VENV := .venv
BIN := $(VENV)/bin
BUILD := build
JOBS ?= $(shell nproc)
quietly := tools/quietly.sh $(BUILD)/log

native_files := CMakeLists.txt VERSION $(wildcard cmake/* core/* bindings/c/abi/* bindings/c/src/* bindings/c/include/sidecall/* bindings/cli/* python/src/*)
# The library of .venv, for programs that do not live beside it. The shell looks, when it is there.
with_onnxruntime := SIDECALL_ONNXRUNTIME="$$(echo $(CURDIR)/$(VENV)/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*)"

.PHONY: help setup build demo test test-c test-python lint format sanitize fuzz bench bench-% package clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*%*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

# ---- Set-up ------------------------------------------------------------------------------------------------------
$(BUILD)/.system: tools/system_packages.sh
	@mkdir -p $(BUILD)
	@tools/system_packages.sh "$(PYTHON)" $(BUILD)/log
	@touch $@

$(BUILD)/.system-lint: $(BUILD)/.system
	@command -v $(CLANG_FORMAT) >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log $(CLANG_FORMAT)
	@touch $@

$(BUILD)/.system-fuzz: $(BUILD)/.system
	@command -v clang++-19 >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log clang-19 libclang-rt-19-dev
	@touch $@

$(VENV)/.created: | $(BUILD)/.system
	@$(quietly) venv "creating $(VENV)" $(PYTHON) -m venv $(VENV)
	@touch $@

# Editable: an edit of a Python file counts at once, an edit of a native one through this rule.
$(VENV)/.package: $(VENV)/.created pyproject.toml setup.py $(native_files)
	@$(quietly) pip "installing the Python package and what its tests need into $(VENV)" $(BIN)/pip install --disable-pip-version-check -e '.[export,test,lint]'
	@touch $@

$(VENV)/.bench: $(VENV)/.package
	@$(quietly) pip-bench "installing what the benchmarks compare with" $(BIN)/pip install --disable-pip-version-check -e '.[bench]'
	@touch $@

$(BUILD)/build.ninja: $(BUILD)/.system
	@$(quietly) configure "configuring the build" cmake -S . -B $(BUILD) -G Ninja -DSIDECALL_WERROR=ON -DSIDECALL_BUILD_BENCHMARKS=ON
	@touch $@

build: $(BUILD)/build.ninja ## libsidecall, the command, the C tests and examples, in build/
	@$(quietly) build "building libsidecall, the command and the C tests" cmake --build $(BUILD) -j $(JOBS)

setup: build $(VENV)/.package ## everything but the job itself

# ---- Jobs --------------------------------------------------------------------------------------------------------
demo: build $(VENV)/.package ## train, export, then call the model from C, C++, Python and the shell
	@$(BIN)/python examples/demo/demo.py --build $(BUILD)

test: test-c test-python ## all tests

test-c: build $(VENV)/.package
	@$(with_onnxruntime) ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) --no-tests=error

test-python: build $(VENV)/.package
	@$(BIN)/python -m pytest

lint: build $(VENV)/.package $(BUILD)/.system-lint ## formatters, types, warnings as errors, boundaries, the ABI
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files '*.c' '*.cpp' '*.h' '*.hpp' | xargs -r $(CLANG_FORMAT) --dry-run -Werror
	$(BIN)/python tools/check_abi.py --library $(BUILD)/lib/libsidecall.so
	$(BIN)/python tools/check_includes.py
	$(BIN)/python tools/check_files.py

format: $(VENV)/.package $(BUILD)/.system-lint ## let ruff and clang-format rewrite
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	git ls-files '*.c' '*.cpp' '*.h' '*.hpp' | xargs -r $(CLANG_FORMAT) -i

sanitize: $(BUILD)/.system $(VENV)/.package ## the C and vector tests under AddressSanitizer and UBSan, those with threads under ThreadSanitizer
	@$(with_onnxruntime) tools/sanitize.sh $(BUILD) address,undefined $(JOBS)
	@$(with_onnxruntime) tools/sanitize.sh $(BUILD) thread $(JOBS) threads

fuzz: $(BUILD)/.system-fuzz ## the contract, records and model files of tests/fuzz, a minute each
	@tools/fuzz.sh $(BUILD) 60 $(JOBS)

bench: bench-inproc ## all benchmarks

bench-%: build $(VENV)/.bench ## one benchmark, as make bench-inproc
	@$(BIN)/python benchmarks/$*/run.py --build $(BUILD)

package: $(VENV)/.package ## an sdist and a wheel in dist/
	@$(quietly) pip-build "installing build" $(BIN)/pip install --disable-pip-version-check build
	@$(quietly) package "building sdist and wheel" $(BIN)/python -m build
	@ls -1 dist

clean: ## remove everything that make made
	rm -rf $(BUILD) $(VENV) dist python/sidecall.egg-info python/sidecall/_native*.so python/sidecall/libsidecall-*.so python/sidecall/include
