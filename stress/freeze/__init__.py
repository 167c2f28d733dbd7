# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A thread stopped for good in the middle of an operation; the others go on."""
