# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A handler after every instruction of every operation, and what ran without it."""
