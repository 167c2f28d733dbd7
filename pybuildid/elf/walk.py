# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Regular files below directories, for scan()."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator


def walk(paths: Iterable[str], on_error: Callable[[OSError], None], *, one_file_system: bool = False) -> Iterator[str]:
    """Yields each path that is no directory as it is, and the regular files below each that is one.

    Symbolic links below a directory are not followed. Directories that cannot be read are passed to on_error.
    one_file_system: leave out directories on which another file system is mounted, such as /proc below /.
    """
    for path in paths:
        if os.path.isdir(path):
            try:
                device = os.stat(path).st_dev if one_file_system else None
            except OSError as error:
                on_error(error)
                continue
            yield from _below(path, on_error, device)
        else:
            yield path


def _below(top: str, on_error: Callable[[OSError], None], device: int | None) -> Iterator[str]:
    directories = [top]
    while directories:
        below = []
        try:
            with os.scandir(directories.pop()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir(follow_symlinks=False):
                        if device is None or entry.stat(follow_symlinks=False).st_dev == device:
                            below.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.path
        except OSError as error:
            on_error(error)
        directories += reversed(below)
