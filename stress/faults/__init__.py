# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Memory that fails, limits, threads that come and go, forks, a reader that stands still."""
