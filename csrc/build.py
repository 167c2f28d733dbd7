# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds extension modules: a file is compiled if it, a header that it includes or the command has changed.

setup.py builds those of the package with it, the study and the harness theirs, in place.
"""

from __future__ import annotations

import contextlib
import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cffi import FFI
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext


class BuildChanged(build_ext):  # type: ignore[misc]
    """Keeps the objects of the last build, and beside each what it was made of."""

    build_temp: str
    stripped = False  # of debug information, as in a wheel; not where it is built for work on it

    def finalize_options(self) -> None:
        super().finalize_options()
        self.stripped = not self.inplace

    def build_extensions(self) -> None:
        compiler: Any = self.compiler
        compile_all, compile_one = compiler.compile, compiler._compile
        running: list[Future[None]] = []

        def compile_changed(made: str, source: str, suffix: str, options: list[str], *more: Any) -> None:
            command = repr((source, options, more))
            if not _is_current(Path(made), command):
                compile_one(made, source, suffix, ["-MMD", *options], *more)
                Path(f"{made}.command").write_text(command)

        def compile_in_parallel(*arguments: Any, **keywords: Any) -> Any:
            made = compile_all(*arguments, **keywords)
            while running:
                running.pop().result()
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            compiler._compile = lambda *arguments: running.append(pool.submit(compile_changed, *arguments))
            compiler.compile = compile_in_parallel
            super().build_extensions()

    def build_extension(self, extension: Extension) -> None:
        """Modules have objects of their own, for their commands differ."""
        everything = self.build_temp
        self.build_temp = os.path.join(everything, extension.name)
        if self.stripped:
            extension.extra_link_args.append("-Wl,--strip-debug")
        super().build_extension(extension)
        self.build_temp = everything


def _is_current(made: Path, command: str) -> bool:
    """Whether an object is newer than all that the compiler read for it (its file of rules says what), and made by this
    command."""
    try:
        if Path(f"{made}.command").read_text() != command:
            return False
        read = made.with_suffix(".d").read_text().replace("\\\n", "").partition(":")[2].split()
        return all(os.stat(name).st_mtime_ns < made.stat().st_mtime_ns for name in read)
    except OSError:
        return False


def build_in_place(ffibuilder: FFI) -> None:
    """Builds a module of this checkout, which is the working directory, beside its Python files."""
    name = str(ffibuilder._assigned_source[0])
    with contextlib.redirect_stdout(io.StringIO()):  # it says that it writes C
        extension = ffibuilder.distutils_extension(tmpdir="build/cffi", verbose=False)
    distribution = Distribution({"name": name, "ext_modules": [extension], "cmdclass": {"build_ext": BuildChanged}})
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    command.ensure_finalized()
    command.run()
