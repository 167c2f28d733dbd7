# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table as a kernel module under real NMIs, in QEMU: ``python -m stress kernel``, ``make kernel``."""
