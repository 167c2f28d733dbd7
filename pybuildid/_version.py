# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The version of the package is that of its C core: bid/version.h."""

from pybuildid._core import lib

__version__ = ".".join(str(lib.bid_version() // scale % 100) for scale in (10000, 100, 1))
