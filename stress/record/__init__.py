# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The recorder over programs that make it hard, beside the kernel's own answers."""
