# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles as people read them: stacks of functions (model), from pprof and folded files (files), and back."""
