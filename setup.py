# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What pyproject.toml cannot say: the extension modules, that one wheel fits every Python from 3.9 on with a GIL, and
where the sources are published: PYBUILDID_URL in the environment, for the links of a release."""

import os
import re
import sys
import sysconfig
from glob import glob
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).resolve().parent))  # a build in isolation leaves it out

from csrc.build import BuildChanged
from csrc.build_record import build_programs


class BuildAll(BuildChanged):
    """The extension modules, and the BPF programs of `record`."""

    def run(self) -> None:
        super().run()
        build_programs(Path() if self.inplace else Path(self.build_lib))


#: Free-threaded Python has no stable ABI before 3.15: there a module is for one version. cffi, and so this, needs 3.14.
STABLE = {} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"bdist_wheel": {"py_limited_api": "cp39"}}
URL = os.environ.get("PYBUILDID_URL", "").rstrip("/")
AGENT = ("agent", "sample", "frames", "timer", "program", "signals")  # of csrc/profile
SERVER = ("server", "process", "events", "views", "stacks", "modules")


def sources(*folders: str) -> list[str]:
    return sorted(source for folder in folders for source in glob(f"csrc/{folder}/*.c"))


def profiler(name: str, parts: tuple[str, ...], more: list[str], flags: list[str]) -> Extension:
    """A library of its own, which needs no Python. It is never unmapped: its handler may be called until the process
    ends. Without the checked forms of libc's functions, which musl does not have."""
    return Extension(
        f"pybuildid.{name}",
        sources=[*(f"csrc/profile/{part}.c" for part in parts), *more],
        depends=sorted(glob("csrc/**/*.h", recursive=True)),
        include_dirs=["csrc/include"],
        extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-U_FORTIFY_SOURCE", *flags],
        extra_link_args=["-pthread", "-ldl", "-Wl,-z,nodelete", "-Wl,-Bsymbolic"],
        py_limited_api=True,
    )


PARSER = [source for source in sources("note") if not source.endswith("scan.c")]  # which does I/O

#: For LD_PRELOAD: the profiler's part in a process that is profiled.
preload = profiler("_preload", AGENT, [*sources("preload"), *PARSER], [])
#: Its part outside of it, and what a process needs to profile itself.
server = profiler(
    "_profiler",
    AGENT + SERVER,
    sources("table", "process", "inode", "note", "resolve"),
    ['-DBID_EXPORTED=__attribute__((visibility("default")))'],
)


def urls() -> dict[str, str]:
    """Of the package's page on an index."""
    named = {"Discussion": "https://lore.kernel.org/bpf/20230316170149.4106586-1-jolsa@kernel.org/"}
    if URL:
        named |= {"Source": URL, "Documentation": f"{URL}/blob/HEAD/README.md"}
        named |= {"Changelog": f"{URL}/blob/HEAD/CHANGELOG.md", "Issues": f"{URL}/issues"}
    return named


def readme() -> str:
    """With links that work outside of the sources."""
    text = Path("README.md").read_text(encoding="utf-8")
    return re.sub(r"\]\((?!\w+:|#)([^)]+)\)", rf"]({URL}/blob/HEAD/\1)", text) if URL else text


setup(
    long_description=readme(),
    long_description_content_type="text/markdown",
    project_urls=urls(),
    ext_modules=[preload, server],
    cffi_modules=["csrc/build_core.py:ffibuilder", "csrc/build_record.py:ffibuilder"],
    cmdclass={"build_ext": BuildAll},
    options=STABLE,
)
