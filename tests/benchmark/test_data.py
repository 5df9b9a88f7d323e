"""Data sources: systems, files, arrays; every refusal names what is wrong and where."""

import numpy as np
import pandas as pd
import pytest

from chaosfit.benchmark.data import find_system, from_system, from_table, is_path, read_file, with_exponent
from chaosfit.systems.flows import Lorenz63, Rossler
from chaosfit.systems.maps import Henon


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(200, 3))


def write(path, text):
    path.write_text(text)
    return path


class TestFiles:
    def test_csv_with_names_and_time(self, tmp_path, rows):
        path = tmp_path / "run.csv"
        frame = pd.DataFrame(rows, columns=["x", "y", "z"])
        frame.insert(0, "t", 0.5 * np.arange(200))
        frame.to_csv(path, index=False)
        data = read_file(path)
        assert (data.name, data.columns, data.dt) == ("run", ("x", "y", "z"), pytest.approx(0.5))
        np.testing.assert_allclose(data.X, rows)
        assert data.source == str(path)

    @pytest.mark.parametrize("separator", [",", ";", "\t", " "])
    @pytest.mark.parametrize("header", ["", "a{}b{}c\n", "# a{}b{}c\n"])
    def test_text_without_options(self, tmp_path, rows, separator, header):
        path = tmp_path / "run.csv"
        lines = "\n".join(separator.join(map(str, row)) for row in rows.tolist())
        path.write_text(header.format(separator, separator) + lines + "\n")
        data = read_file(path)
        np.testing.assert_allclose(data.X, rows)
        assert data.columns == (("a", "b", "c") if header else ("x0", "x1", "x2"))
        assert data.dt is None

    def test_the_index_of_a_saved_frame_is_the_time(self, tmp_path, rows):
        path = tmp_path / "run.csv"
        pd.DataFrame(rows, index=0.1 * np.arange(200)).to_csv(path)
        data = read_file(path)
        assert data.X.shape == (200, 3)
        assert data.dt == pytest.approx(0.1)

    def test_the_index_yields_to_a_time_column(self, tmp_path, rows):
        path = tmp_path / "run.csv"
        pd.DataFrame(rows, columns=list("xyz")).assign(Time=0.2 * np.arange(200)).to_csv(path)
        data = read_file(path)
        assert (data.columns, data.dt) == (("x", "y", "z"), pytest.approx(0.2))

    @pytest.mark.parametrize("n_columns", [1, 3])
    def test_names_that_pandas_makes_up_are_no_row(self, tmp_path, rows, n_columns):
        path = tmp_path / "run.csv"
        pd.DataFrame(rows[:, :n_columns]).to_csv(path, index=False)
        with pytest.warns(UserWarning, match="the first line, 0.*, is taken for column names"):
            data = read_file(path)
        np.testing.assert_allclose(data.X, rows[:, :n_columns])
        assert data.columns == ("x0", "x1", "x2")[:n_columns]

    @pytest.mark.parametrize(
        ("text", "columns"),
        [
            ("# of 2020\n\n# by us\nx,y\n1.5,2\n3,4\n", ("x", "y")),
            ("# of 2020, by us, and so on\n# x,y\n1.5,2\n3,4\n", ("x", "y")),
            ("# of 2020, by us, and so on\n1.5,2\n3,4\n", ("x0", "x1")),
            ('"x","y, z"\n1.5,2\n3,4\n', ("x", "y, z")),
            ("x,y,\n1.5,2,\n3,4,\n", ("x", "y")),
            ("x,y\n1.5,2,\n3,4,\n", ("x", "y")),
            ("1.5,2,\n3,4,\n", ("x0", "x1")),
            ("x;y\n1,5;2\n3;4\n", ("x", "y")),
            ("1,5;2\n3;4\n", ("x0", "x1")),
            ("1.5;2\n3;4\n", ("x0", "x1")),
            ("1,5 2\n3 4\n", ("x0", "x1")),
            ("x, raw;y\n1.5;2\n3;4\n", ("x, raw", "y")),
        ],
    )
    def test_ways_to_write_a_table(self, tmp_path, text, columns):
        data = read_file(write(tmp_path / "a.csv", text))
        assert data.columns == columns
        assert data.X.tolist() == [[1.5, 2.0], [3.0, 4.0]]

    def test_a_first_value_of_zero_is_a_row(self, tmp_path):
        data = read_file(write(tmp_path / "a.csv", "0\n1\n4\n9\n"))
        assert data.X.ravel().tolist() == [0, 1, 4, 9]

    def test_the_index_of_a_parquet_file_is_the_time(self, tmp_path, rows):
        pytest.importorskip("pyarrow")
        frame = pd.DataFrame(rows, columns=list("xyz"), index=pd.date_range("2020-01-01", periods=200, freq="min"))
        frame.to_parquet(tmp_path / "run.parquet")
        assert read_file(tmp_path / "run.parquet").dt == pytest.approx(60.0)

    def test_dates(self, tmp_path, rows):
        path = tmp_path / "run.csv"
        frame = pd.DataFrame(rows, columns=list("xyz"))
        frame["when"] = pd.date_range("2020-01-01", periods=200, freq="min")
        frame.to_csv(path, index=False)
        assert read_file(path, time_column="when").dt == pytest.approx(60.0)

    def test_parquet(self, tmp_path, rows):
        pytest.importorskip("pyarrow")
        path = tmp_path / "run.parquet"
        pd.DataFrame(rows, columns=list("xyz")).to_parquet(path)
        data = read_file(path, columns=["z", 0], dt=0.25)
        assert (data.columns, data.dt) == (("z", "x"), 0.25)
        np.testing.assert_array_equal(data.X, rows[:, [2, 0]])

    def test_npy_of_a_scalar_series(self, tmp_path, rows):
        np.save(tmp_path / "run.npy", rows[:, 0])
        assert read_file(tmp_path / "run.npy").X.shape == (200, 1)

    def test_npz(self, tmp_path, rows):
        np.savez(tmp_path / "run.npz", X=rows, dt=0.125, other=np.arange(3))
        assert read_file(tmp_path / "run.npz").dt == 0.125
        assert read_file(tmp_path / "run.npz", dt=1.0).dt == 1.0

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("a.csv", "\n\n", "it holds no rows"),
            ("a.csv", "x,y\n1,2\n3,4,5\n6,7\n", "a.csv: line 3 has 3 values, expected 2; repair or remove"),
            ("a.csv", "x,y\n1,2\n3\n6,7\n", "column 'y': the value in row 1 .* is missing"),
            ("a.csv", "x,y,z\n1,2\n3,4\n", "the first line has 3 names, but the rows have 2 values"),
            ("a.csv", "x,y\n1,2\n3,oops\n6,7\n", "column 'y': the value in row 1 .* is 'oops'"),
            ("a.csv", "x,y\n1,2\n3,inf\n6,7\n", "column 'y': the value in row 1 .* is 'inf'"),
            ("a.csv", "x,y\n1,2\n,4\n6,7\n", "column 'x': the value in row 1 .* is missing"),
            ("a.csv", "t,x\n0,1\n1,2\n1,3\n", "time column 't' is not increasing: row 2 has 1 after 1"),
            ("a.csv", "t,x\n0,1\n1,2\n2,4\n7,3\n", "not equally spaced: .* 5 before row 3"),
            ("a.csv", "t,x\n0,1\nsoon,2\n", "time column 't' holds neither numbers nor dates"),
            ("a.csv", "t\n0\n1\n", "nothing but the time"),
            ("a.csv", "x,x\n0,1\n1,2\n", "'x' occurs more than once"),
            ("a.csv", "x,y\n", "a.csv: it holds names but no rows"),
            ("a.csv", "x,op\n1,up\n2,down\n3,up\n", "a.csv: column 'op' holds text; choose others with --columns x$"),
            ("a.csv", "\0\1\2,\0\n1,2\n", "a.csv: it is not a text file"),
            ("a.npy", "junk", "cannot read .*a.npy: it is not a NumPy file"),
            ("a.npz", "junk", "cannot read .*a.npz: it is not a NumPy file"),
            ("a.npz", "PK junk", "it is not a NumPy file, or a damaged one"),
            ("a.npy", "", "it is not a NumPy file"),
            ("a.xlsx", "junk", "expected a file that ends in .csv"),
        ],
    )
    def test_refusals(self, tmp_path, name, text, message):
        with pytest.raises(ValueError, match=message):
            read_file(write(tmp_path / name, text))

    @pytest.mark.parametrize("content", [b"\xff\xfe1\x00,\x002\x00", b"1,2\n3,4\n5,\xff\n"])
    def test_a_file_that_is_no_text(self, tmp_path, content):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.csv: it is not a text file"):
            read_file(tmp_path / "a.csv")

    @pytest.mark.parametrize("ending", ["npy", "npz"])
    def test_nobody_is_told_to_unpickle(self, tmp_path, ending):
        path = tmp_path / f"a.{ending}"
        (np.save if ending == "npy" else np.savez)(path, np.array([{}, None], dtype=object), allow_pickle=True)
        with pytest.raises(ValueError, match=rf"a\.{ending}: it holds objects, not numbers"):
            read_file(path)

    def test_a_damaged_file(self, tmp_path, rows):
        np.save(tmp_path / "whole.npy", rows)
        (tmp_path / "part.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:300])
        with pytest.raises(ValueError, match=r"part\.npy: it is not a NumPy file, or a damaged one"):
            read_file(tmp_path / "part.npy")

    @pytest.mark.parametrize("name", ["nothing.csv", "nothing.xlsx"])
    def test_a_missing_file(self, tmp_path, name):
        with pytest.raises(FileNotFoundError, match=f"{name}: there is no such file"):
            read_file(tmp_path / name)

    def test_a_directory(self, tmp_path, monkeypatch):
        with pytest.raises(IsADirectoryError, match="it is a directory"):
            read_file(tmp_path)
        monkeypatch.chdir(tmp_path.parent)
        with pytest.raises(LookupError, match="is a directory"):
            find_system(tmp_path.name)

    def test_a_transposed_file(self, tmp_path, rows):
        np.save(tmp_path / "a.npy", rows.T)
        with pytest.raises(ValueError, match=r"a\.npy: .* did you mean X\.T"):
            read_file(tmp_path / "a.npy")

    def test_several_arrays_without_an_x(self, tmp_path, rows):
        np.savez(tmp_path / "run.npz", a=rows, b=rows)
        with pytest.raises(ValueError, match="expected one array, or one called 'X', found a, b"):
            read_file(tmp_path / "run.npz")

    def test_unknown_column(self, tmp_path):
        path = write(tmp_path / "a.csv", "x,y\n1,2\n3,4\n")
        with pytest.raises(ValueError, match="there is no column 'q'; there are x, y"):
            read_file(path, columns=["q"])


class TestTables:
    def test_wrong_orientation(self, rows):
        with pytest.raises(ValueError, match=r"did you mean X\.T, the transpose"):
            from_table(rows.T)

    def test_constant_columns_are_left_out(self, rows):
        with pytest.warns(UserWarning, match="x1 are constant and left out"):
            data = from_table(rows * [1, 0, 1])
        assert data.columns == ("x0", "x2")

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            (np.zeros((3, 4, 5)), r"got an array of shape \(3, 4, 5\)"),
            ([[1.0, 2.0], [3.0]], "the rows have different lengths"),
            (np.ones((50, 2)), "every column is constant"),
            (pd.DataFrame({"x": []}), "hold no rows"),
            (np.exp(1j * np.arange(9.0)), "complex"),
        ],
    )
    def test_refusals(self, table, message):
        with pytest.raises(ValueError, match=message):
            from_table(table)

    def test_the_fingerprint_is_that_of_the_rows(self, rows):
        first, again = from_table(rows), from_table(rows.copy(), name="other")
        assert first.fingerprint == again.fingerprint
        assert first.fingerprint != from_table(rows + 1e-12).fingerprint


class TestSystems:
    def test_by_name(self):
        system = find_system("lorenz63")
        data = from_system(system, 50, 3, name="lorenz63")
        np.testing.assert_array_equal(data.X, Lorenz63().simulate(50, random_state=3))
        assert (data.dt, data.lyapunov_exponent, data.exponent_source) == (0.01, 0.9056, "published")
        assert "random_state=3" in data.source

    def test_another_step_and_fewer_variables(self):
        data = from_system(Lorenz63(), 50, 0, dt=0.05, columns=[2])
        assert (data.X.shape, data.dt) == ((50, 1), 0.05)
        assert data.lyapunov_steps == pytest.approx(1 / (0.9056 * 0.05))

    def test_of_dysts(self):
        pytest.importorskip("dysts")
        assert find_system("Halvorsen").dim == 3
        assert find_system("halvorsen") == find_system("Halvorsen")
        with pytest.raises(LookupError, match=r"did you mean 'Halvorsen'\?$"):
            find_system("Halvorsn")

    def test_case_does_not_matter(self):
        assert find_system("Lorenz63") == Lorenz63()

    def test_unknown_name(self):
        with pytest.raises(LookupError, match="'lorenz36' is neither a file nor a system; did you mean .*'lorenz63'"):
            find_system("lorenz36")

    def test_the_name_of_a_method(self):
        with pytest.raises(LookupError, match="'ngrc' is a method, but a file or a system is expected"):
            find_system("ngrc")

    def test_unknown_name_without_dysts(self, monkeypatch):
        def missing():
            raise ImportError("no dysts")

        monkeypatch.setattr("chaosfit.bridges.dysts.dysts_names", missing)
        with pytest.raises(LookupError, match=r'; flows of dysts need: pip install "chaosfit\[dysts\]"$'):
            find_system("Halvorsen")

    def test_a_problem_with_a_known_system_is_told(self, monkeypatch):
        def wrong(*_, **__):
            raise ValueError("wrong parameter")

        monkeypatch.setattr("chaosfit.registry.make", wrong)
        with pytest.raises(ValueError, match="wrong parameter"):
            find_system("lorenz63")

    def test_maps_are_known_as_such(self):
        assert from_system(Henon(), 50, 0).discrete_time
        assert not from_system(Lorenz63(), 50, 0).discrete_time

    @pytest.mark.parametrize("source", ["a.csv", "folder/series", "run.NPY"])
    def test_what_looks_like_a_file(self, source):
        assert is_path(source)
        assert find_system(source) is None


class TestExponent:
    def test_given(self, rows):
        data = with_exponent(from_table(rows, dt=0.5), 2.0)
        assert (data.lyapunov_exponent, data.exponent_source, data.lyapunov_steps) == (2.0, "given", 1.0)

    @pytest.mark.parametrize("columns", [[0, 1], [0]])
    def test_estimated(self, columns):
        data = with_exponent(from_table(Henon().simulate(3000, random_state=0)[:, columns]))
        assert data.lyapunov_exponent == pytest.approx(0.419, abs=0.04)
        assert data.exponent_source == "estimated from the data"

    @pytest.mark.parametrize("kind", ["noise", "sine", "short"])
    def test_none_where_nothing_grows(self, kind):
        x = {
            "noise": np.random.default_rng(0).normal(size=(2000, 2)),
            "sine": np.sin(0.1 * np.arange(2000.0)),
            "short": np.random.default_rng(0).normal(size=60),
        }[kind]
        assert with_exponent(from_table(x)).lyapunov_exponent is None

    def test_a_published_one_stays(self):
        data = from_system(Rossler(), 20, 0)
        assert with_exponent(data) is data


class TestIndexOfAFrame:
    @pytest.mark.parametrize(
        ("index", "dt"),
        [
            (pd.RangeIndex(7, 207), None),
            (pd.RangeIndex(7, 207, name="time"), 1.0),
            (pd.Index(list(range(5, 205))), None),
            (pd.Index(list(range(0, 400, 2)), name="t"), 2.0),
            (pd.Index(0.25 * np.arange(200)), 0.25),
            (pd.date_range("2020-01-01", periods=200, freq="min"), 60.0),
            (pd.date_range("2020-01-01", periods=200, freq="min").astype(str), 60.0),
            (pd.timedelta_range("0s", periods=200, freq="2s"), 2.0),
            (pd.period_range("2020-01", periods=200, freq="M"), 1.0),
            (pd.Index([f"row {i}" for i in range(200)]), None),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_it_tells_the_time(self, rows, index, dt):
        data = from_table(pd.DataFrame(rows, index=index))
        assert data.dt == (None if dt is None else pytest.approx(dt))
        assert from_table(pd.DataFrame(rows, index=index), dt=3.0).dt == 3.0

    @pytest.mark.parametrize("index", [pd.date_range("2020-01-01", periods=200, freq="h"), pd.RangeIndex(200)])
    def test_rows_on_both_sides_of_a_gap_are_no_neighbours(self, rows, index):
        frame = pd.DataFrame(rows, index=index)
        frame.iloc[50] = np.nan
        with pytest.raises(ValueError, match=r"the index is not equally spaced.*before row 50 .*reset_index"):
            from_table(frame.dropna())

    def test_pieces_put_together_are_not_one_trajectory(self, rows):
        with pytest.raises(ValueError, match=r"the index is not increasing: row 200 .*reset_index"):
            from_table(pd.concat([pd.DataFrame(rows)] * 2))
        with pytest.raises(ValueError, match="the index has several levels"):
            from_table(pd.concat({"a": pd.DataFrame(rows)}))


def test_a_column_is_named_once(rows):
    with pytest.raises(ValueError, match="columns names 'x0' more than once"):
        from_table(rows, columns=["x0", 0])
