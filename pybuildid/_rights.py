# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What to tell somebody who may not do something."""

from __future__ import annotations

import os


def as_root(advice: str = "run as root") -> str:
    """The advice; to root, whom a container or a security module keeps from it, another."""
    return advice if os.geteuid() else "run with all capabilities, outside of containers and security modules"
