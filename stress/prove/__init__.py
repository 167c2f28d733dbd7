# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Every check in its short form; docs/proof.md is written from what they found."""
