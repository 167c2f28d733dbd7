# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# make setup: .venv with the package built into it and the harness ready. Every other target calls it as it needs to.

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)

C_FILES := $(sort $(shell find csrc -name '*.[ch]'))
STRESS_C := $(sort $(shell find stress -name '*.[ch]' ! -name '_*'))
TEST_C := $(sort $(wildcard tests/c/*.[ch] tests/fuzz/*.[ch]))
WARNINGS := -std=c11 -O2 -Wall -Wextra -Werror -Icsrc/include -Icsrc/handle -Icsrc/study

.DELETE_ON_ERROR:
.PHONY: setup run test bench prove report lint lint-python lint-c format wheel clean verify verify-orders sanitize man fuzz readers

setup: $(VENV)/harness.stamp

$(VENV)/build-tools.stamp: $(CONSTRAINTS)
	@echo 'Installing into $(VENV): one to two minutes the first time'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) 'setuptools>=77' 'cffi>=1.15'
	@touch $@

# An editable package: its extension module lies beside its Python files, where type checkers find them, too.
pybuildid/_core.abi3.so: $(VENV)/build-tools.stamp $(C_FILES) csrc/peers/tbb.cpp pyproject.toml setup.py pybuildid/_cffi_build.py pybuildid/_measure_build.py
	$(PIP_INSTALL) --no-build-isolation --config-settings editable_mode=compat --editable '.[cli,plot,report,dask,test,dev]'
	@touch $@

$(VENV)/harness.stamp: pybuildid/_core.abi3.so $(STRESS_C) stress/build_engine.py
	$(BIN)/python -m stress.build_engine
	$(BIN)/python -m stress.programs
	@touch $@

run: setup
	$(BIN)/python -m stress --seconds 30

test: setup
	$(BIN)/python -m pytest

# Fuzzes the note reader with libFuzzer; an input that breaks something is kept as build/fuzz/crash-*.
SECONDS ?= 60
fuzz: setup
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS)

# The build IDs of every ELF file under /usr against all other readers, and microseconds a file.
readers: setup
	PYBUILDID_ALL_FILES=1 $(BIN)/python -m pytest -s tests/test_readers.py

# Model-checks the table's sources; needs genmc (MPI-SWS/genmc, v0.11.0) and clang-14 on PATH.
verify: setup
	$(BIN)/python tests/models/run.py

# Weakens every use of a memory order by itself; the models have to notice. Writes docs/orders.md; six to eight minutes.
verify-orders: setup
	$(BIN)/python tests/models/weaken.py --markdown docs/orders.md

# Every check in its short form, in about ten minutes: writes docs/proof.md.
prove: setup
	$(BIN)/python -m stress prove --page docs/proof.md --json build/proof.json

# The C tests, the storm, histories and faults under ThreadSanitizer, AddressSanitizer and UndefinedBehaviorSanitizer.
sanitize: setup
	$(BIN)/python -m stress sanitize

# Our table beside every design that was argued about and peers from outside, in about four minutes.
bench: setup
	$(BIN)/pybuildid bench

# Measures everything, in about six minutes, and makes one page of it: build/report/report.html. A storm that fails is in
# it, and so is what was measured before a peer hung.
REPORT := build/report
report: setup
	@mkdir -p $(REPORT)
	rm -f $(REPORT)/*.json
	-$(BIN)/python -m stress --seconds 30 --json $(REPORT)/storm.json
	-$(BIN)/pybuildid bench --json $(REPORT)/bench.json
	$(BIN)/pybuildid collisions --json >$(REPORT)/collisions.json
	$(BIN)/pybuildid memory --json >$(REPORT)/memory.json
	$(BIN)/pybuildid report --storm $(REPORT)/storm.json --bench $(REPORT)/bench.json \
		--collisions $(REPORT)/collisions.json --memory $(REPORT)/memory.json --output $(REPORT)/report.html

lint: lint-python lint-c

lint-python: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The table without its user-space platform, and the note reader, are code for a kernel as well: no libc.
FREESTANDING := $(filter-out %/platform_user.c %/platform_user_memory.c,$(filter csrc/table/%.c csrc/note/%.c,$(C_FILES)))

lint-c: setup
	$(BIN)/clang-format --dry-run -Werror $(C_FILES) $(STRESS_C) $(TEST_C)
	@mkdir -p build
	set -e; for file in $(filter %.c,$(C_FILES)); do $(CC) $(WARNINGS) -Icsrc/rivals -c -o build/lint.o $$file; done
	set -e; for file in $(filter %.c,$(STRESS_C)); do $(CC) $(WARNINGS) -std=gnu11 -Icsrc/rivals -c -o build/lint.o $$file; done
	$(CXX) -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ csrc/include/pybuildid.h
	$(CC) $(WARNINGS) -ffreestanding -nostdlib -r -o build/freestanding.o $(FREESTANDING)
	! nm -u build/freestanding.o | grep -Ev ' (bid_platform_.*|mem(cpy|move|set|cmp))$$'

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(C_FILES) $(STRESS_C) $(TEST_C)

# The manual page of the command line, docs/pybuildid.md, from the commands' help.
man: setup
	$(BIN)/python docs/man.py

wheel: setup
	$(BIN)/python -m build --no-isolation

clean:
	rm -rf $(VENV) build dist *.egg-info pybuildid/_core.c pybuildid/_measure.c pybuildid/*.so stress/*.so \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
	find pybuildid stress tests -name __pycache__ -type d -prune -exec rm -r {} +
