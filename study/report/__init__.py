# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""One self-contained HTML page of what was measured: documents in, a page out. Needs the extras "plot" and "report"."""

from study.report.documents import MAKERS, DocumentError, Documents, read
from study.report.page import render
from study.report.verdict import Verdict, judge

__all__ = ["MAKERS", "DocumentError", "Documents", "Verdict", "judge", "read", "render"]
