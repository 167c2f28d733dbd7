# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The advice for a user who may not do something."""

from __future__ import annotations

import os


def as_root(advice: str = "run as root") -> str:
    """The advice to run as root; for root, whom a container or a security module prevents, another one."""
    return advice if os.geteuid() else "run with all capabilities, outside of containers and security modules"
