# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The census by BPF iterators beside that by /proc and kcmp(2), on Debian's kernel, in a guest that is quiet."""

from __future__ import annotations

import pytest

from stress.kernel import census
from stress.kernel.build import MissingError


def test_both_ways_count_the_same_on_another_kernel() -> None:
    try:
        counts = census.run("")
    except MissingError as error:
        pytest.skip(str(error))
    assert counts["limits"] == []
    assert counts["bpf"]["mapped_build_ids"] > 5
    for name in census.COUNTED["proc"]:
        assert counts["bpf"][name] == counts["proc"][name], name
