"""The registry, tried on distributions that exist only as metadata in a temporary folder."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import textwrap
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaosfit import registry
from chaosfit.registry import PluginError

MODEL = '''
class Model:
    """A model that
    does nothing.

    Parameters
    ----------
    strength : float, default=0.5

    References
    ----------
    Somebody (2020), doi:10.0/0
    Another (2021)

    Examples
    --------
    >>> 1
    1
    """

    def __init__(self, strength=0.5, random_state=None):
        self.strength = strength

    def fit(self, X): return self
    def get_params(self, deep=True): return {}
    def set_params(self, **params): return self
    def equations(self, precision=3): return []
'''


def install(folder, dist, entries, code=None, requires=(), version="1.0"):
    """Write the metadata of a distribution, and its modules {name: source}, as an installer would."""
    info = folder / f"{dist.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n{needs}")
    sections = [
        f"[chaosfit.{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items())
        for group, names in entries.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(sections))
    for module, source in (code or {}).items():
        (folder / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder in front of `sys.path` where a "chaosfit 1.2" offers three objects, and a clean registry."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(registry, "_session", {group: {} for group in registry.GROUPS})
    monkeypatch.delenv("CHAOSFIT_DISABLE_PLUGINS", raising=False)
    install(
        tmp_path,
        "chaosfit",
        {
            "estimators": {"nothing": "fake_host:Model"},
            "systems": {"circle": "fake_host:Circle"},
            "metrics": {"gap": "fake_host:gap"},
        },
        {
            "fake_host": MODEL
            + "class Circle:\n    def simulate(self): return self\n"
            + "def gap(y_true, y_pred, power=2): return abs(y_true - y_pred) ** power\n"
        },
        version="1.2",
    )
    registry.refresh()
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
    registry.refresh()


@pytest.fixture
def five(site):
    """A good plugin, a failing import, sys.exit, a built-in's name and one for an old chaosfit."""
    install(site, "good-plug", {"estimators": {"good": "good_plug:Model"}}, {"good_plug": MODEL})
    install(
        site,
        "broken-plug",
        {"estimators": {"boom": "broken_plug:X"}},
        {"broken_plug": "import no_such_thing"},
    )
    install(site, "exit-plug", {"estimators": {"leaver": "exit_plug:X"}}, {"exit_plug": "import sys; sys.exit(3)"})
    install(site, "ape-plug", {"estimators": {"nothing": "ape_plug:Model"}}, {"ape_plug": MODEL})
    install(
        site,
        "old-plug",
        {"estimators": {"old": "old_plug:Model"}},
        {"old_plug": MODEL},
        requires=["chaosfit<1"],
    )
    registry.refresh()
    with pytest.warns(RuntimeWarning, match="'nothing' is offered more than once") as caught:
        registry.names()
    assert len(caught) == 1
    return site


CULPRITS = {
    "boom": "plugin 'boom' = broken_plug:X from broken-plug 1.0 cannot be loaded: ModuleNotFoundError: "
    "No module named 'no_such_thing'",
    "leaver": "plugin 'leaver' = exit_plug:X from exit-plug 1.0 cannot be loaded: SystemExit: 3",
    "old": "plugin 'old' = old_plug:Model from old-plug 1.0 cannot be loaded: it requires chaosfit<1, "
    "but chaosfit 1.2 is installed",
}


class TestListing:
    def test_names_are_sorted_and_contain_the_broken_ones(self, five):
        assert registry.names() == ["boom", "good", "leaver", "nothing", "old"]

    def test_nothing_is_imported(self, five):
        registry.records()
        assert not {"fake_host", "good_plug", "broken_plug", "exit_plug", "ape_plug", "old_plug"} & set(sys.modules)

    def test_records_tell_value_owner_and_losers(self, five):
        rows = {record.name: record for record in registry.records()}
        assert list(rows) == ["ape-plug/nothing", "boom", "good", "leaver", "nothing", "old"]
        assert rows["nothing"].builtin
        assert rows["nothing"].shadows == ("ape-plug/nothing",)
        assert (rows["good"].value, rows["good"].dist, rows["good"].version) == (
            "good_plug:Model",
            "good-plug",
            "1.0",
        )
        assert rows["good"].obj is None
        assert rows["boom"].error is None

    def test_records_keep_what_was_loaded(self, five):
        model = registry.get("good")
        with pytest.raises(PluginError):
            registry.get("boom")
        rows = {record.name: record for record in registry.records()}
        assert rows["good"].obj is model
        assert "no_such_thing" in str(rows["boom"].error)

    def test_unknown_group(self, site):
        with pytest.raises(ValueError, match=r"Unknown group 'models': expected one of estimators, systems, metrics\."):
            registry.names("models")

    def test_registry_needs_the_standard_library_only(self):
        code = "import sys, chaosfit.registry as r; r.names(); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert not set(done.stdout.split()) & {
            "numpy",
            "sklearn",
            "pandas",
            "torch",
            "sktime",
            "pysindy",
            "packaging",
        }

    def test_malformed_metadata_hides_only_itself(self, site):
        install(site, "garbled-plug", {"estimators": {}})
        (site / "garbled_plug-1.0.dist-info" / "entry_points.txt").write_bytes(b"[chaosfit.estimators]\nx = \xff:Y\n")
        registry.refresh()
        with pytest.warns(RuntimeWarning, match=r"Entry points of a package in .* are left out: UnicodeDecodeError"):
            assert registry.names() == ["nothing"]
        assert registry.names() == ["nothing"]  # said once

    def test_foreign_metadata_is_not_even_parsed(self, site):
        install(site, "foreign", {"estimators": {}})
        (site / "foreign-1.0.dist-info" / "entry_points.txt").write_text("[their.group]\nno equals sign\n")
        registry.refresh()
        assert registry.names() == ["nothing"]


class TestLoading:
    def test_all_returns_the_good_ones(self, five):
        with pytest.warns(RuntimeWarning, match=r"It is left out\.") as caught:
            loaded = registry.all()
        assert sorted(loaded) == ["good", "nothing"]
        assert {str(w.message).removesuffix(". It is left out.") for w in caught} == set(CULPRITS.values())

    def test_all_can_raise(self, five):
        with pytest.raises(PluginError, match="plugin 'boom'"):
            registry.all(on_error="raise")
        with pytest.raises(ValueError, match="on_error must be 'warn' or 'raise', got 'ignore'"):
            registry.all(on_error="ignore")

    @pytest.mark.parametrize("name", CULPRITS)
    @pytest.mark.parametrize("times", [1, 2])
    def test_get_names_the_culprit(self, five, name, times):
        for _ in range(times):
            with pytest.raises(PluginError) as caught:
                registry.get(name)
            assert str(caught.value) == CULPRITS[name] + "."

    def test_the_cause_is_kept(self, five):
        with pytest.raises(PluginError) as caught:
            registry.get("boom")
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)

    def test_a_plugin_for_an_old_version_is_not_even_imported(self, five):
        with pytest.raises(PluginError):
            registry.get("old")
        assert "old_plug" not in sys.modules

    @pytest.mark.parametrize("requirement", ["chaosfit>=1.2", "Chaosfit", "chaosfit<1; extra == 'old'", "chaosfit-x<1"])
    def test_requirements_that_are_met(self, site, requirement):
        install(site, "plug", {"estimators": {"mine": "plug_code:Model"}}, {"plug_code": MODEL}, [requirement])
        registry.refresh()
        assert registry.get("mine").__name__ == "Model"

    def test_keyboard_interrupt_passes(self, site):
        install(site, "plug", {"estimators": {"mine": "plug_code:X"}}, {"plug_code": "raise KeyboardInterrupt"})
        registry.refresh()
        with pytest.raises(KeyboardInterrupt):
            registry.get("mine")

    def test_refresh_tries_again(self, five):
        with pytest.raises(PluginError):
            registry.get("boom")
        (five / "broken_plug.py").write_text(MODEL.replace("Model", "X"))
        with pytest.warns(RuntimeWarning):
            registry.refresh() or registry.names()
        assert registry.get("boom").__name__ == "X"

    @pytest.mark.parametrize(
        ("group", "code", "reason"),
        [
            ("estimators", "X = 3", "expected a class, got 3 of type int"),
            (
                "estimators",
                "class X:\n    def fit(self): ...",
                "expected a class with fit, get_params, set_params; X lacks get_params, set_params",
            ),
            ("systems", "class X: ...", "expected a class with simulate; X lacks simulate"),
            ("systems", "def X(): ...", "expected a class, got X of type function"),
            ("metrics", "X = 'text'", "expected a callable, got 'text' of type str"),
            (
                "systems",
                "from abc import abstractmethod\nclass X:\n    def simulate(self): ...\n"
                "    @abstractmethod\n    def _rhs(self, x): ...",
                "X must implement _rhs",
            ),
            (
                "systems",
                "class X:\n    chaosfit_api = (2, 0)\n    def simulate(self): ...",
                r"it was written for version \(2, 0\) of the plugin contract, this is version \(1, 0\)",
            ),
            (
                "systems",
                "class X:\n    chaosfit_api = (1, 7)\n    def simulate(self): ...",
                r"it was written for version \(1, 7\) .*",
            ),
            (
                "systems",
                "class X:\n    chaosfit_api = '1.0'\n    def simulate(self): ...",
                "it was written for version '1.0' .*",
            ),
            (
                "systems",
                "class X:\n    chaosfit_api = (0, 9)\n    def simulate(self): ...",
                r"it was written for version \(0, 9\) .*",
            ),
        ],
    )
    def test_a_broken_contract(self, site, group, code, reason):
        install(site, "plug", {group: {"mine": "plug_code:X"}}, {"plug_code": code})
        registry.refresh()
        with pytest.raises(PluginError, match=rf"plugin 'mine' = plug_code:X from plug 1\.0 .*: .*{reason}\.$"):
            registry.get("mine", group)

    def test_the_contract_version_is_that_of_the_base_class(self):
        from chaosfit.base import BaseDynamics

        assert BaseDynamics.chaosfit_api == registry.API


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("name", "group", "message"),
        [
            ("nothin", "estimators", r"estimators have no 'nothin'; did you mean 'nothing'\?"),
            ("NOTHING", "estimators", r"did you mean 'nothing'\?"),
            (
                "circle",
                "estimators",
                r"estimators have no 'circle'; it is one of the systems \(group='systems'\)\.",
            ),
            ("xyz", "estimators", r"estimators have no 'xyz'; there are nothing\."),
        ],
    )
    def test_the_message_helps(self, site, name, group, message):
        with pytest.raises(LookupError, match=message):
            registry.get(name, group)

    def test_chaosfit_without_installation(self, monkeypatch):
        def no_distribution(name):
            raise registry.importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(registry.importlib.metadata, "distributions", lambda: ())
        monkeypatch.setattr(registry.importlib.metadata, "version", no_distribution)
        registry.refresh()
        with pytest.raises(LookupError, match=r"chaosfit is not installed, .* run 'pip install -e \.' first"):
            registry.get("lorenz63", "systems")
        registry.refresh()


class TestDuplicates:
    def test_a_built_in_wins_and_the_loser_stays_reachable(self, five):
        assert registry.get("nothing").__module__ == "fake_host"
        assert registry.get("ape-plug/nothing").__module__ == "ape_plug"

    @pytest.mark.parametrize("order", [("a-plug", "b-plug"), ("b-plug", "a-plug")])
    def test_then_the_alphabet_whatever_the_order_on_the_path(self, site, monkeypatch, order):
        for dist in order:
            module = dist.replace("-", "_")
            install(site / dist, dist, {"estimators": {"same": f"{module}:Model"}}, {module: MODEL})
        monkeypatch.setattr(sys, "path", [*(str(site / dist) for dist in order), *sys.path])
        registry.refresh()
        with pytest.warns(RuntimeWarning, match="a_plug:Model from a-plug 1.0 is used; ask for 'b-plug/same'"):
            assert registry.get("same").__module__ == "a_plug"

    def test_the_same_distribution_twice_is_no_duplicate(self, site, monkeypatch):
        for folder in ("here", "there"):
            install(site / folder, "plug", {"estimators": {"mine": "plug_code:Model"}}, {"plug_code": MODEL})
        monkeypatch.setattr(sys, "path", [str(site / "here"), str(site / "there"), *sys.path])
        registry.refresh()
        assert registry.names() == ["mine", "nothing"]
        assert registry.records()[0].shadows == ()

    def test_the_same_line_twice_is_no_duplicate(self, site):
        install(site, "plug", {"estimators": {"mine": "plug_code:Model"}})
        entries = site / "plug-1.0.dist-info" / "entry_points.txt"
        entries.write_text(entries.read_text() + "mine = plug_code:Model\n")
        registry.refresh()
        assert registry.names() == ["mine", "nothing"]

    def test_a_warning_as_error_does_not_spoil_the_tables(self, five):
        registry.refresh()
        with pytest.raises(RuntimeWarning, match="more than once"):
            registry.names()
        assert "good" in registry.names()


class TestDisabling:
    @pytest.mark.parametrize(
        ("value", "left"),
        [
            ("good-plug, Exit_Plug", ["boom", "nothing", "old"]),
            ("*", ["nothing"]),
            ("chaosfit", ["boom", "good", "leaver", "nothing", "old"]),
            ("", ["boom", "good", "leaver", "nothing", "old"]),
        ],
    )
    @pytest.mark.filterwarnings("ignore:'nothing' is offered:RuntimeWarning")
    def test_by_environment_variable(self, five, monkeypatch, value, left):
        monkeypatch.setenv("CHAOSFIT_DISABLE_PLUGINS", value)
        registry.refresh()
        assert registry.names() == left


class TestMake:
    def test_parameters_reach_the_constructor(self, site):
        assert registry.make("nothing", strength=2.0).strength == 2.0
        assert registry.make("circle", "systems").simulate()

    def test_a_metric_gets_its_options(self, site):
        assert registry.make("gap", group="metrics", power=3)(0, 2) == 8

    def test_unknown_parameter(self, site):
        with pytest.raises(TypeError, match=r"'nothing' has no parameter 'stregth'; it has strength, random_state\."):
            registry.make("nothing", stregth=1)


class TestDescribe:
    def test_an_estimator(self, site):
        found = registry.describe("nothing")
        assert found.summary == "A model that does nothing."
        assert found.parameters == {"strength": 0.5, "random_state": None}
        assert found.capabilities == ("equations",)
        assert found.reference == "Somebody (2020), doi:10.0/0\nAnother (2021)"

    def test_as_text(self, site):
        expected = """\
            nothing: fake_host:Model, from chaosfit 1.2

            A model that does nothing.

            parameters:
                strength = 0.5
                random_state = None

            capabilities: forecast, equations

            reference:
                Somebody (2020), doi:10.0/0
                Another (2021)"""
        assert str(registry.describe("nothing")) == textwrap.dedent(expected)

    def test_a_metric_without_docstring(self, site):
        text = str(registry.describe("gap", "metrics"))
        assert "(no docstring)" in text
        assert "y_true = (required)" in text
        assert "capabilities" not in text

    def test_the_docstring_of_a_base_class_is_not_shown(self, site):
        registry.register("child", type("Child", (registry.get("nothing"),), {}))
        assert registry.describe("child").summary == ""

    def test_inputs_and_methods_of_the_default_object(self, site):
        from chaosfit.compose import NextStepRegressor

        registry.register("regression", NextStepRegressor)
        assert registry.describe("regression").capabilities == ("control",)


class Own:
    def fit(self): ...
    def get_params(self): ...
    def set_params(self): ...


class TestRegister:
    def test_function_and_decorator(self, site):
        assert registry.register("own", Own) is Own
        assert registry.get("own") is Own

        @registry.register("difference", group="metrics")
        def difference(a, b):
            return a - b

        assert registry.get("difference", "metrics") is difference

    def test_it_survives_refresh(self, site):
        registry.register("own", Own)
        registry.refresh()
        assert registry.names() == ["nothing", "own"]

    def test_a_taken_name(self, site):
        with pytest.raises(ValueError, match=r"'nothing' is already taken by fake_host:Model from chaosfit 1\.2;"):
            registry.register("nothing", Own)

    @pytest.mark.parametrize("again", [False, True])
    def test_override_keeps_the_former_owner(self, site, again):
        registry.register("nothing", Own, override=True)
        if again:
            registry.refresh()
        assert registry.get("nothing") is Own
        assert registry.get("chaosfit/nothing").__module__ == "fake_host"
        assert [r.shadows for r in registry.records() if r.name == "nothing"] == [("chaosfit/nothing",)]

    def test_a_notebook_cell_may_run_twice(self, site):
        registry.register("own", Own)
        second = type("Own", (Own,), {"__module__": Own.__module__})
        registry.register("own", second)
        assert registry.get("own") is second
        with pytest.raises(ValueError, match=r"already taken by .*Own from this session"):
            registry.register("own", type("Other", (Own,), {}))

    @pytest.mark.parametrize("name", ["Own", "my-model", "a/b", "", "1st"])
    def test_names_are_lower_snake_case(self, site, name):
        with pytest.raises(ValueError, match="lower snake case such as 'my_model'"):
            registry.register(name, Own)

    def test_the_contract_holds_here_too(self, site):
        with pytest.raises(TypeError, match="'own' cannot be registered: expected a class with fit"):
            registry.register("own", object)

    def test_a_callable_without_a_name(self, site):
        registry.register("total", functools.partial(max, default=0), group="metrics")
        assert registry.get("total", "metrics")([]) == 0


class TestThreads:
    def test_one_scan_for_all(self, site, monkeypatch):
        scans = []
        scan = registry._scan

        def slow_scan():
            scans.append(1)
            time.sleep(0.05)
            return scan()

        monkeypatch.setattr(registry, "_scan", slow_scan)
        registry.refresh()
        with ThreadPoolExecutor(8) as pool:
            classes = list(pool.map(lambda _: registry.get("nothing"), range(32)))
        assert len(scans) == 1
        assert len(set(classes)) == 1

    def test_a_plugin_may_ask_the_registry_in_a_thread_while_it_is_imported(self, site):
        code = MODEL + (
            "import threading\nfrom chaosfit import registry\n"
            "thread = threading.Thread(target=registry.names, daemon=True)\n"
            "thread.start()\nthread.join(10)\nassert not thread.is_alive(), 'deadlock'\n"
        )
        install(site, "plug", {"estimators": {"mine": "plug_code:Model"}}, {"plug_code": code})
        registry.refresh()
        assert registry.get("mine").__name__ == "Model"

    def test_what_was_registered_while_loading_stays(self, site):
        code = MODEL + "from chaosfit import registry\nregistry.register('mine', Model, override=True)\n"
        install(site, "plug", {"estimators": {"mine": "plug_code:Model"}}, {"plug_code": code})
        registry.refresh()
        registry.get("mine")
        assert [r.dist for r in registry.records() if r.name == "mine"] == ["session"]


def test_the_example_plugin_is_found_fitted_and_used(site, monkeypatch):
    """Its own tests run where it is installed; here its two files must fit together."""
    plugin = Path(__file__).parents[1] / "examples" / "plugin"
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    groups = {key.removeprefix("chaosfit."): names for key, names in project["entry-points"].items()}
    install(site, project["name"], groups, requires=["chaosfit>=1"], version=project["version"])
    monkeypatch.setattr(sys, "path", [str(plugin), *sys.path])
    registry.refresh()
    model = registry.make("radial_basis_map", n_units=5)
    X = [[0.3], [0.82], [0.57], [0.95], [0.17], [0.55]]
    assert model.fit(X).forecast(2).shape == (2, 1)
    assert "doi:10.1016/0167-2789(89)90074-2" in registry.describe("radial_basis_map").reference
    del sys.modules["chaosfit_example_plugin"]


def test_plugin_error_is_an_import_error_that_travels():
    error = pickle.loads(pickle.dumps(PluginError("plugin 'x' cannot be loaded")))
    assert isinstance(error, ImportError)
    assert str(error) == "plugin 'x' cannot be loaded"
