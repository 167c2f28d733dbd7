# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# docs/commands.md describes the targets. `make setup` makes .venv with all that tests and the study need, and builds
# everything. Every other target makes what it needs itself.

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)

C_FILES := $(sort $(shell find csrc -name '*.[ch]'))
STUDY_C := $(sort $(shell find study -name '*.[ch]' -o -name '*.cpp'))
STRESS_C := $(sort $(shell find stress -name '*.[ch]'))
TEST_C := $(sort $(wildcard tests/c/*.[ch] tests/models/*.[ch] tests/bpf/*.[ch] tests/programs/*.[ch] tests/fuzz/*.[ch] examples/*.[ch] examples/*.cpp))
# C that is not compiled here: kernel modules, which the kernel's own build compiles, and BPF programs (clang does).
KERNEL_C := csrc/kernel/% stress/kernel/% %.bpf.c
BUILD_PY := $(wildcard csrc/*.py)
WARNINGS := -std=c11 -O2 -Wall -Wextra -Werror -Icsrc/include -Icsrc -Istudy/rivals

.DELETE_ON_ERROR:
.PHONY: setup run test check bench memory prove report lint lint-python lint-c format wheel clean verify verify-orders \
	kernel record sanitize man fuzz readers lib install uninstall amalgamation

setup: $(VENV)/test.stamp stress/storm/_storm.abi3.so study/_measure.abi3.so

$(VENV)/build.stamp: $(CONSTRAINTS)
	@echo 'Making $(VENV), and installing what a build needs'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) 'setuptools>=77' 'cffi>=1.15'
	@touch $@

# An editable package: its extension module lies beside its Python files, where type checkers find them, too.
EDITABLE := --no-build-isolation --config-settings editable_mode=compat --editable

$(VENV)/run.stamp: $(VENV)/build.stamp pyproject.toml setup.py
	@echo 'Building the package, and installing what its commands need'
	$(PIP_INSTALL) $(EDITABLE) .
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	@echo 'Installing what the tests, the study and the checks of style need: one to two minutes the first time'
	$(PIP_INSTALL) $(EDITABLE) '.[plot,study,dask,test,dev]'
	@touch $@

# Each of these compiles what has changed, and only that.
pybuildid/_core.abi3.so: $(VENV)/run.stamp $(C_FILES) $(BUILD_PY)
	@echo 'Building $@'
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

stress/storm/_storm.abi3.so: pybuildid/_core.abi3.so $(STRESS_C) $(STUDY_C) stress/storm/build.py stress/programs.py
	@echo 'Building $@'
	@$(BIN)/python -m stress.storm.build
	@touch $@

study/_measure.abi3.so: pybuildid/_core.abi3.so $(STUDY_C) study/build_measure.py
	@echo 'Building $@'
	@$(BIN)/python -m study.build_measure
	@touch $@

run: stress/storm/_storm.abi3.so
	$(BIN)/python -m stress --seconds 30

# Several files of tests at a time. The tests of one file run in one process, but for the files of SPREAD in
# tests/conftest.py.
PARALLEL := -n auto --maxprocesses 4

test: setup
	$(BIN)/python -m pytest $(PARALLEL)

# The lint, and the tests that find most: in under two minutes once everything is set up.
CHECKS := table bulk inode errors note process c lookup_object step histories state_machine storm style
check: setup lint
	$(BIN)/python -m pytest -q $(PARALLEL) -k 'not a_lie_is_caught' $(CHECKS:%=tests/test_%.py)

# Fuzzes the readers of build IDs and of profiles. An input that breaks something is kept as build/fuzz/crash-*.
SECONDS ?= 60
fuzz: setup
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS)

# Compares the build IDs of every ELF file under /usr with those of all other readers; says the microseconds a file.
readers: setup
	PYBUILDID_ALL_FILES=1 $(BIN)/python -m pytest -s tests/test_readers.py

# Model-checks the table's sources; needs genmc (MPI-SWS/genmc, v0.11.0) and clang-14 on PATH.
verify: setup
	$(BIN)/python tests/models/run.py

# Weakens every use of a memory order by itself; the models must notice. Writes docs/orders.md, which says what to ask
# first the next time: three minutes of a processor.
verify-orders: setup
	$(BIN)/python tests/models/weaken.py --markdown docs/orders.md

# Every check in its short form, in about fifteen minutes: writes docs/proof.md.
prove: setup
	$(BIN)/python -m stress prove --page docs/proof.md --json build/proof.json

# The table as a module of the installed kernel, under real NMIs in QEMU: four to ten minutes. SEED=n, NMIS=n.
SEED ?= 2023
NMIS ?= 2000000
kernel: setup
	@mkdir -p build/kernel
	$(BIN)/python -m stress kernel --seed $(SEED) --nmis $(NMIS) --json build/kernel/kernel.json

# The recorder over programs that make its work hard, beside the kernel's own answers, and what it costs: six minutes, as
# root.
record: setup
	@mkdir -p build/record
	$(BIN)/python -m stress record --measure --json build/record/record.json

# The C tests, the storm, histories and faults under ThreadSanitizer, AddressSanitizer and UndefinedBehaviorSanitizer.
sanitize: setup
	$(BIN)/python -m stress sanitize

# Our table beside every design of the discussion and peers from other libraries, in about four minutes.
bench: setup
	$(BIN)/python -m study bench

# What each design takes in memory, in about a minute.
memory: setup
	$(BIN)/python -m study memory

# Measures everything, in about six minutes, and makes one page of it: build/report/report.html. The page also shows a
# storm that failed, and what was measured before a peer hung.
REPORT := build/report
report: setup
	@mkdir -p $(REPORT)
	rm -f $(REPORT)/*.json
	-$(BIN)/python -m stress --seconds 30 --json $(REPORT)/storm.json
	-$(BIN)/python -m study bench --json $(REPORT)/bench.json
	$(BIN)/pybuildid collisions --json $(REPORT)/collisions.json
	$(BIN)/python -m study memory --json $(REPORT)/memory.json
	$(BIN)/python -m study report --storm $(REPORT)/storm.json --bench $(REPORT)/bench.json \
		--collisions $(REPORT)/collisions.json --memory $(REPORT)/memory.json --output $(REPORT)/report.html

lint: lint-python lint-c

lint-python: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The table and the note reader are code for a kernel as well: no libc.
FREESTANDING := $(filter-out %/scan.c,$(filter csrc/table/%.c csrc/note/%.c,$(C_FILES)))
CLEAN_C := $(patsubst %.c,build/lint/%.o,$(filter-out $(KERNEL_C),$(filter %.c,$(C_FILES) $(STUDY_C) $(STRESS_C))))

lint-c: build/lint/format.stamp $(CLEAN_C)
	for header in csrc/include/bid.h csrc/include/bid/*.h; do \
		$(CXX) -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ $$header || exit; done
	$(CC) $(WARNINGS) -ffreestanding -nostdlib -r -o build/freestanding.o $(FREESTANDING)
	! nm -u build/freestanding.o | grep -Ev ' (bid_platform_.*|mem(cpy|move|set|cmp))$$'

build/lint/format.stamp: $(C_FILES) $(STUDY_C) $(STRESS_C) $(TEST_C) | $(VENV)/test.stamp
	@mkdir -p $(@D)
	@echo 'Checking the format of C files that have changed'
	@$(BIN)/clang-format --dry-run -Werror $(filter %.c %.h %.cpp,$?)
	@touch $@

build/lint/stress/%.o: WARNINGS += -std=gnu11 -Icsrc/bpf -Icsrc/record
build/lint/csrc/bpf/%.o build/lint/csrc/record/%.o build/lint/csrc/iterators/%.o: WARNINGS += -std=gnu11 -Icsrc/table -Icsrc/bpf
build/lint/%.o: %.c
	@mkdir -p $(@D)
	@echo 'Compiling $< with warnings as errors'
	@$(CC) $(WARNINGS) -MMD -MP -c -o $@ $<

-include $(CLEAN_C:.o=.d)

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(filter %.c %.h %.cpp,$(C_FILES) $(STUDY_C) $(STRESS_C) $(TEST_C))

# The manual page of the command line, docs/pybuildid.md and docs/pybuildid.1, from the commands' help.
man: setup
	$(BIN)/python docs/man.py

# The library for C programs, without Python: csrc/Makefile. PREFIX=/usr/local, DESTDIR=.
lib amalgamation:
	$(MAKE) -C csrc $@

PREFIX ?= /usr/local
MANDIR ?= $(PREFIX)/share/man

install:
	$(MAKE) -C csrc $@
	install -d $(DESTDIR)$(MANDIR)/man1
	install -m 644 docs/pybuildid.1 $(DESTDIR)$(MANDIR)/man1

uninstall:
	$(MAKE) -C csrc $@
	rm -f $(DESTDIR)$(MANDIR)/man1/pybuildid.1

# The sdist, and the wheel with the tag of the oldest glibc that it runs with (manylinux_*), in dist. PYBUILDID_URL=url.
wheel: setup
	@rm -rf build/wheel && mkdir -p dist
	$(BIN)/python -m build --no-isolation --outdir build/wheel
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/wheel/*.whl
	mv build/wheel/*.tar.gz dist

clean:
	rm -rf $(VENV) build dist *.egg-info pybuildid/*.so stress/*/*.so study/*.so \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
	find csrc pybuildid stress study tests -name __pycache__ -type d -prune -exec rm -r {} +
