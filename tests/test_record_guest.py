# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""`record` in another kernel than this machine's: Debian's, in QEMU. Of old kernels the verifier is stricter."""

from __future__ import annotations

import pytest

from pybuildid.record._recorder import PROGRAMS
from stress.kernel import build
from stress.record.guest import missing, record_in_guest


@pytest.mark.skipif(bool(build.missing() or missing()), reason=build.missing() or missing())
def test_every_frame_is_resolved_there_too() -> None:
    if not PROGRAMS.exists():
        pytest.skip("this pybuildid was built without BPF programs: install clang and libbpf-dev, and build it again")
    found = record_in_guest(seconds=4)
    frames = found["frames"]
    assert found["wrong"] == 0
    assert found["both_valid"] > 0.9 * frames > 900
    assert found["table_valid"] > 0.98 * frames  # some addresses are in no mapping
    assert found["lost"] == found["no_room"] == found["events_lost"] == 0
    assert found["removed"] > 4  # when their file system was unmounted: by a tracepoint of a module
