# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The study: other designs and peers, measured beside the table. Part of a checkout; not installed."""
