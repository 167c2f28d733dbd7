# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds of the sources with one fault each, which the checks must catch."""
