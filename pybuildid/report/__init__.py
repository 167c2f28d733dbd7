# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""One self-contained HTML page of what was measured: documents in, a page out. Needs the extras "plot" and "report"."""

from pybuildid.report.documents import MAKERS, DocumentError, Documents, read
from pybuildid.report.page import render
from pybuildid.report.verdict import Verdict, judge

__all__ = ["MAKERS", "DocumentError", "Documents", "Verdict", "judge", "read", "render"]
