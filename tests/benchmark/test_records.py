"""Lines of JSON that survive whatever stops the run."""

import json
import os
import stat

import numpy as np
import pytest

from chaosfit.benchmark.records import FILE_NAME, RecordFile, read_records


def record(number):
    return {"key": f"k{number}", "method": "m", "value": number}


def test_written_as_they_come(tmp_path):
    with RecordFile(tmp_path / "new" / "folder") as file:
        file.write(record(1))
        assert read_records(tmp_path / "new" / "folder") == [record(1)]  # before the file is closed
        file.write(record(2))
        assert file.keys == {"k1", "k2"}
    assert read_records(file.path) == [record(1), record(2)]


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_line_is_skipped_and_then_removed(tmp_path, cut):
    with RecordFile(tmp_path) as file:
        file.write(record(1))
        file.write(record(2))
    file.path.write_bytes(file.path.read_bytes()[:-cut])
    assert read_records(tmp_path) == [record(1)]
    with RecordFile(tmp_path) as file:
        assert file.keys == {"k1"}
        file.write(record(3))
    assert read_records(tmp_path) == [record(1), record(3)]


@pytest.mark.parametrize("line", ["not json", "[1, 2]", '{"method": "m"}', "3"])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / FILE_NAME).write_text(f"{json.dumps(record(1))}\n{line}\n")
    with pytest.raises(ValueError, match="line 2 is not a record"):
        read_records(tmp_path)


def test_plain_values_only(tmp_path):
    with RecordFile(tmp_path) as file:
        file.write(record(1) | {"number": np.float64(0.5), "where": tmp_path})
        with pytest.raises(ValueError, match="not JSON compliant"):
            file.write(record(2) | {"number": np.nan})
    (read,) = read_records(tmp_path)
    assert (read["number"], read["where"]) == (0.5, str(tmp_path))


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OSError, match="cannot write results to .*out: .*Choose another folder"):
        RecordFile(tmp_path / "out")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OSError, match="cannot write results to .*Permission denied"):
        RecordFile(tmp_path / "out")
