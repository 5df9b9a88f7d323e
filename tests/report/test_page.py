"""The page: complete, self-contained, safe, the same for the same result."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import chaosfit
from chaosfit.methods.baselines.climatology import Climatology
from chaosfit.methods.baselines.persistence import Persistence
from chaosfit.report.page import render
from chaosfit.report.plots import line_styles, projection

SMALL = {"n_train": 300, "n_starts": 4, "horizon": 20}
VOID = {"meta", "img", "link", "br"}


class Fails(Persistence):
    def _fit(self, trajectories):
        raise ValueError("<script>alert(1)</script>")


class Escapes(Persistence):
    def forecast(self, n_steps, context=None, *, u=None):
        return np.full_like(super().forecast(n_steps, context, u=u), np.nan)


class Reader(HTMLParser):
    """Collects what the page holds and checks that tags are closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page():
    return render(chaosfit.compare("henon", {"last": Persistence(), "bad": Fails(), "mean": Climatology()}, **SMALL))


def test_equations_are_shown_where_they_can_be_read():
    system = chaosfit.Lorenz63().simulate(3000, dt=0.02, random_state=0)
    frame = pd.DataFrame(system, columns=["convection", "gradient", "profile"])
    result = chaosfit.compare(frame, ["sindy", "ngrc", "persistence"], dt=0.02, lyapunov_exponent=0.9, **SMALL)
    assert list(result.equations) == ["sindy"]  # the map of ngrc has too many terms, persistence has none to tell
    assert result.equations["sindy"][0] == "x0' = -10.000 x0 + 10.000 x1"
    legend = "x0 is convection, x1 is gradient, x2 is profile"
    assert f"equations found by sindy ({legend}):\n  x0' = -10.000 x0 + 10.000 x1" in repr(result)
    text = " ".join(Reader(render(result)).text)
    assert "Which equations govern it" in text
    assert "x1' = 28.000 x0 - 1.000 x1 - 1.000 x0 x2" in text
    assert "x2 is profile" in text


def test_everything_is_there(page):
    reader = Reader(page)
    text = " ".join(reader.text)
    for expected in (
        "How far ahead",
        "How the error grows",
        "What the forecasts look like",
        "Where the forecasts live",
    ):
        assert expected in text
    assert "random_state=0" in text
    assert len([tag for tag, _ in reader.tags if tag == "img"]) == 4
    assert all(attributes["alt"] for tag, attributes in reader.tags if tag == "img")


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attributes in Reader(page).tags:
        assert tag not in ("link", "iframe", "object", "embed")
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"@import|url\(|fetch\(|https?://", page)
    for kind, content in re.findall(r"data:image/([a-z+]+);base64,([A-Za-z0-9+/=]+)", page):
        image = base64.b64decode(content)
        assert image.startswith(b"\x89PNG" if kind == "png" else b"<?xml")


def test_a_failure_is_shown_and_escaped(page):
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "Traceback" in page


def test_the_same_page_again():
    result = chaosfit.compare("henon", {"last": Persistence()}, **SMALL)
    assert render(result) == render(result)


@pytest.mark.parametrize("n_variables", [1, 2, 4, 9])
def test_any_number_of_variables(n_variables):
    X = np.random.default_rng(0).normal(size=(400, n_variables)).cumsum(axis=0)
    methods = {"last": Persistence(), "gone": Escapes()}
    Reader(render(chaosfit.compare(X, methods, n_starts=3, horizon=12)))


def test_when_everything_fails():
    result = chaosfit.compare("henon", {"bad": Fails()}, **SMALL)
    assert "No method could forecast henon." in render(result)
    assert repr(result).startswith("No method could forecast henon.")


def test_styles_are_distinct():
    styles = line_styles([f"m{i}" for i in range(10)])
    assert len(set(styles.values())) == 10


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_projections_show_two_coordinates(d):
    train = np.random.default_rng(0).normal(size=(300, d))
    project, labels = projection(train, [f"x{i}" for i in range(d)])
    points = project(train.reshape(3, 100, d))
    assert points.shape[1] == len(labels) == 2
    assert np.ptp(points, axis=0).min() > 0


def test_an_unwritable_page(tmp_path):
    result = chaosfit.compare("henon", {"last": Persistence()}, **SMALL)
    with pytest.raises(OSError, match="cannot write the page to"):
        result.to_html(tmp_path / "no" / "folder" / "page.html")
    assert result.to_html(tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_columns_without_names_need_no_legend():
    assert chaosfit.compare("henon", ["persistence"], **SMALL).legend == ""
