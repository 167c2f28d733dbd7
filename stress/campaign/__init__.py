# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The long forms of the checks, for hours, on this machine or a Dask cluster."""
