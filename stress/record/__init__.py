# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The recorder over programs that are hard to record, beside the kernel's own answers."""
