# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m pybuildid``: the command line."""

from pybuildid.cli import main

if __name__ == "__main__":
    main(prog_name="python -m pybuildid")
