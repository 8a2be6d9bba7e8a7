"""The house keeps its shape: what each process loads, how large things are, what depends on what.

Import contracts read the source; these tests look at a running interpreter, which also sees what a
dependency drags in. Limits of size are those of the project's style; a file or function over them
stands in the table below with its reason.
"""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("farshore", "sim", "bench", "tests", "scripts", "examples")
_SOURCES = sorted(path for room in _ROOMS for path in (_ROOT / room).rglob("*.py"))

_FILE_LINES = 400
_FUNCTION_LINES = 60
# What is larger, and why: {"path" or "path:function": "reason"}
_LARGER: dict[str, str] = {}
"""Files and functions over the limits, each with its reason."""

_EMPTY_NAMES = re.compile(r"(^|_)(manager|helper|helpers|util|utils|misc|common)$")


@functools.cache
def _loaded_by(module: str) -> frozenset[str]:
    """Top-level names in sys.modules after a fresh interpreter has imported `module`."""
    code = f"import {module}, sys; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return frozenset(name.partition(".")[0] for name in run.stdout.split())


@pytest.mark.parametrize(
    "stranger",
    ["asyncio", "pydantic", "fastapi", "starlette", "uvicorn", "uvloop", "click", "rich", "zstandard"],
)
def test_engine_does_not_load(stranger: str) -> None:
    assert stranger not in _loaded_by("farshore.engine.process")


@pytest.mark.parametrize(
    "stranger",
    [
        "asyncio",
        "pydantic",
        "fastapi",
        "click",
        "rich",
        "ssl",
        "cryptography",
        "zstandard",
        "xxhash",
        "bitarray",
    ],
)
def test_device_does_not_load(stranger: str) -> None:
    assert stranger not in _loaded_by("farshore.device.process")


@pytest.mark.parametrize(
    "stranger", ["rich", "pydantic", "fastapi", "starlette", "uvicorn", "asyncio", "cryptography"]
)
def test_command_line_does_not_load(stranger: str) -> None:
    assert stranger not in _loaded_by("farshore.cli.main")


def test_importing_the_package_loads_no_room_of_it() -> None:
    code = "import farshore, sys; print(*[name for name in sys.modules if name.startswith('farshore.')])"
    run = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == []


def test_files_are_small() -> None:
    large = {
        str(path.relative_to(_ROOT)): lines
        for path in _SOURCES
        if (lines := path.read_text(encoding="utf-8").count("\n")) > _FILE_LINES
    }
    assert {name: lines for name, lines in large.items() if name not in _LARGER} == {}


def test_functions_are_small() -> None:
    large: dict[str, int] = {}
    for path in _SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                name = f"{path.relative_to(_ROOT)}:{node.name}"
                if lines > _FUNCTION_LINES and name not in _LARGER:
                    large[name] = lines
    assert large == {}


def test_every_exception_to_the_limits_still_exists() -> None:
    assert [name for name in _LARGER if not (_ROOT / name.partition(":")[0]).exists()] == []


def test_names_of_modules_say_something() -> None:
    assert [str(path) for path in _SOURCES if _EMPTY_NAMES.search(path.stem)] == []


def test_every_dependency_has_its_reason_in_the_docs() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=~!\[; ]", line, maxsplit=1)[0] for line in declared}
    page = (_ROOT / "docs/decisions/dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE))
    assert explained == names
