"""What the tree promises: light imports, downward imports, short functions, one list of names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import chaosfit

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "chaosfit").rglob("*.py"))
HEAVY = {"numpy", "sklearn", "pandas", "torch", "sktime", "pysindy", "matplotlib", "scipy"}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_is_light():
    loaded = run_python("import chaosfit, sys; print(*{m.split('.')[0] for m in sys.modules})").split()
    assert HEAVY.isdisjoint(loaded)


def test_listing_is_light():
    code = "import sys; from chaosfit.cli import main; main(['list']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(name.split(".")[0] for name in done.stderr.split())
    assert "next_step_regressor" in done.stdout


@pytest.mark.parametrize("name", chaosfit.__all__)
def test_public_name_resolves_and_is_documented(name):
    assert getattr(chaosfit, name).__doc__


@pytest.mark.parametrize("module", ["registry", "testing"])
def test_modules_that_the_pages_name_are_there(module):
    code = f"import chaosfit; assert chaosfit.{module}.__name__ == 'chaosfit.{module}'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_public_name():
    with pytest.raises(AttributeError, match="no_such_name"):
        chaosfit.no_such_name  # noqa: B018


def test_imports_point_downwards():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def functions():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def code_lines(node) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_functions_are_short():
    long = [f"{path.name}:{node.lineno} {node.name}" for path, node in functions() if code_lines(node) > 80]
    assert not long


def test_most_functions_are_below_forty_lines():
    lengths = sorted(code_lines(node) for _, node in functions())
    assert lengths[int(0.95 * len(lengths))] <= 40


def test_no_machine_paths_in_the_repository():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    text_files = [f for f in files if Path(f).suffix in {".py", ".md", ".toml", ".txt", ".yml", ".pyi", ""}]
    marks = ("/wo" + "rk/", "/ro" + "ot/")
    found = [f for f in text_files if any(m in (ROOT / f).read_text(errors="ignore") for m in marks)]
    assert not found
