"""The code in the README and the documentation runs, page by page, in the order in which it stands."""

import re
import runpy
import sys
import types
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [p for p in PAGES if python_blocks(p)], ids=lambda p: p.name)
@pytest.mark.filterwarnings("default")
def test_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    module = types.ModuleType("page")  # classes defined on a page must be picklable
    monkeypatch.setitem(sys.modules, "page", module)
    for number, block in enumerate(python_blocks(page)):
        exec(compile(block, f"{page.name}, block {number}", "exec"), vars(module))


def test_readme_shows_what_its_example_prints(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = python_blocks(ROOT / "README.md")
    assert len([line for line in block.splitlines() if line.strip()]) <= 12
    exec(compile(block, "README.md", "exec"), {})
    (shown,) = re.findall(r"^```text\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    # Rounding differs between processors, and chaos makes the valid time feel it: only its form is compared.
    *equations, valid = capsys.readouterr().out.splitlines()
    assert equations == shown.splitlines()[:-1]
    assert re.fullmatch(r"\d+\.\d Lyapunov times", valid)


def test_ci_runs_the_test_command_of_the_readme():
    commands = re.findall(r"^```bash\n(.*?)\n```", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    (tests,) = [command for command in commands if "pytest" in command]
    assert tests in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_relative_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    toctree = re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    targets += [f"{name}.md" for tree in toctree for name in tree.split("\n") if name and not name.startswith(":")]
    generated = ROOT / "docs" / "methods"
    missing = [t for t in targets if not (page.parent / t).exists() and (page.parent / t).parent != generated]
    assert not missing


def test_attributes_that_share_a_line_get_an_entry_each():
    lines = ["Attributes", "----------", "a_, b_ : int", "    Both.", "c_ : float", "", "Notes, at last : none"]
    runpy.run_path(str(ROOT / "docs" / "conf.py"))["split_names"](None, "class", "X", None, None, lines)
    assert lines[2:] == ["a_ : int", "    Both.", "b_ : int", "    Both.", "c_ : float", "", "Notes, at last : none"]
