# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The stress harness: signal storms over the table and its rivals. Run it with ``python -m stress``."""
