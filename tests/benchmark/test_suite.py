import os

import numpy as np
import pytest

from chaosfit.benchmark.methods import portable, resolve_methods
from chaosfit.benchmark.protocol import split
from chaosfit.benchmark.suite import load_suite, read_suite, suite_names
from chaosfit.benchmark.task import run_task
from chaosfit.methods.baselines.persistence import Persistence

TEXT = """
name = "maps"

[protocol]
n_train = [50, 200]
n_context = 20
n_starts = 3
horizon = 5.0
max_steps = 8
score = 1.0
noise = [0.0, 0.1]
random_state = [0, 1]

[[systems]]
name = "henon"
dt = 1.0
lyapunov_exponent = 0.419

[[systems]]
name = "logistic"
dt = 1.0
lyapunov_exponent = 0.693
family = "quadratic"
"""


@pytest.mark.parametrize("name", suite_names())
def test_a_suite_of_the_package_is_valid(name):
    pytest.importorskip("dysts")
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description
    recorded = suite.recording is not None or any("file" in pair for pair in suite.pairs)
    if recorded and not os.environ.get("CHAOSFIT_DATA"):
        pytest.skip("CHAOSFIT_DATA names no folder with the recorded series")
    for data, protocol in suite.cases():
        if suite.pairs:
            assert (protocol.n_train, protocol.horizon) >= (100, 1000)
        elif suite.recording is None:
            assert data.n_rows == protocol.n_rows <= data.n_total
        else:
            assert protocol.n_rows <= len(data.X)
        assert protocol.horizon <= suite.protocol.get("max_steps", protocol.horizon)


def test_every_setting_seed_system_and_method_is_a_task_with_its_own_key():
    tasks = read_suite(TEXT).tasks(resolve_methods(["persistence", "drift"]))
    assert len(tasks) == len({task.key for task in tasks}) == 2 * 2 * 2 * 2 * 2
    again = read_suite(TEXT).tasks(resolve_methods(["persistence", "drift"]))
    assert [task.key for task in again] == [task.key for task in tasks]


def test_all_settings_are_judged_on_the_same_rows():
    cases = [(data, protocol) for data, protocol in read_suite(TEXT).cases() if data.name == "henon"]
    targets = [split(data, protocol).targets for data, protocol in cases if protocol.random_state == 0]
    assert len(targets) == 4
    for each in targets[1:]:
        assert np.array_equal(each, targets[0])


def test_a_change_of_the_recipe_changes_the_keys():
    def keys(text):
        return {task.key for task in read_suite(text).tasks({"persistence": Persistence()})}

    for old, new in [("0.419", "0.42"), ("n_context = 20", "n_context = 21"), ("[0, 1]", "[2, 3]")]:
        assert len(keys(TEXT) & keys(TEXT.replace(old, new))) < len(keys(TEXT))
    assert keys(TEXT) == keys(TEXT + "\n[limits]\nseconds = 5\n")


def test_observed_variables_are_all_that_is_seen():
    text = TEXT.replace("lyapunov_exponent = 0.419", "lyapunov_exponent = 0.419\nobserved = [1]")
    data, protocol = next(iter(read_suite(text).cases()))
    full, _ = next(iter(read_suite(TEXT).cases()))
    assert data.columns == ("x1",)
    assert np.array_equal(data.X, full.X[:, 1:])
    record = run_task(read_suite(text).tasks({"persistence": Persistence()})[0])
    assert record["status"] == "ok"
    assert len(record["valid_time"]) == protocol.n_starts


def test_a_file_is_named_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    assert load_suite(path).name == load_suite(str(path)).name == "maps"
    with pytest.raises(FileNotFoundError, match=r"cannot read the suite .*gone.toml: there is no such file"):
        load_suite(tmp_path / "gone.toml")


def test_an_unknown_suite_suggests_names():
    with pytest.raises(LookupError, match=r"there is no suite 'smoke'; nearest names: smoke-8"):
        load_suite("smoke")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_starts", "n_start", r"there is no key protocol.n_start; nearest names: n_starts"),
        ("n_starts = 3", "", r"the key protocol.n_starts is missing"),
        ("n_starts = 3", "n_starts = [3]", r"protocol.n_starts must be one number"),
        ("n_starts = 3", "n_starts = 3.5", r"protocol.n_starts must be an integer > 0, got 3.5"),
        ("[0.0, 0.1]", "[-0.1]", r"protocol.noise must be a finite number >= 0, got -0.1"),
        ("[0.0, 0.1]", "[]", r"protocol.noise must be one number, or a list of them, got \[\]"),
        ("[0.0, 0.1]", "[0.1, 0.1]", r"protocol.noise holds a number more than once, got \[0.1, 0.1\]"),
        ("lyapunov_exponent", "# ", r"no system has a lyapunov_exponent; give it, or set protocol.unit"),
        ("dt = 1.0", "dt = 0", r"dt of henon must be a finite number > 0"),
        ("family", "famly", r"there is no key systems.famly; nearest names: family"),
        ('name = "maps"', 'nme = "maps"', r"there is no key nme; nearest names: name"),
        ('"logistic"', '"henon"', r"the system henon is there more than once"),
        ("[protocol]", "[limits]\nhours = 3\n[protocol]", r"there is no key limits.hours"),
        ("[protocol]", "[limits]\nseconds = -1\n[protocol]", r"limits.seconds must be a finite number > 0"),
        ("[protocol]", "[protocol", r"here: "),
    ],
)
def test_a_faulty_file_is_refused_with_the_place(old, new, message):
    assert old in TEXT
    with pytest.raises(ValueError, match=message):
        read_suite(TEXT.replace(old, new), "here")


def test_an_unknown_system_suggests_names():
    pytest.importorskip("dysts")
    with pytest.raises(LookupError, match=r"here: there is no system 'henno'; nearest names: henon"):
        read_suite(TEXT.replace('"henon"', '"henno"'), "here")


class Unpicklable(Persistence):
    def __reduce__(self):
        raise RuntimeError("not me")


class OddError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def test_what_cannot_travel_becomes_an_error():
    assert isinstance(portable(Persistence()), Persistence)
    assert "Unpicklable cannot be sent to another process (RuntimeError: not me)" in str(portable(Unpicklable()))
    assert isinstance(portable(OddError("a", "b")), TypeError)
