# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# make, with two jobs and a make below it: they share the tokens of a pipe, which make has on low descriptors.
mkdir below
cat >Makefile <<'END'
all: $(foreach n,1 2 3 4 5 6 7 8,$(n).out) below/all
%.out: ; @i=0; while [ $$i -lt 3000 ]; do i=$$((i + 1)); done; echo "$*: $$i" >$@
below/all: ; @$(MAKE) -s -C below
END
cat >below/Makefile <<'END'
all: a.out b.out c.out d.out
%.out: ; @sleep 0.03; seq 1 1000 | tail -1 >$@
END
make -s -j2
echo "$?"
make -s -j2 && cat ./*.out below/*.out
make -s -k -j2 fails also-fails 2>/dev/null
echo "$?"
