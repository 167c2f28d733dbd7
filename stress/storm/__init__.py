# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Signal storms over the table and its rivals; an oracle judges every answer."""
