import pickle

import pytest
import torch

from chaosfit.nn import checkpoint


class Harmful:
    def __reduce__(self):
        return print, ("code ran",)


def test_round_trip(tmp_path):
    path = tmp_path / "state"
    tensors = {"a": torch.arange(3), "inner": {"b": torch.zeros(2), "nothing": None}}
    checkpoint.write(path, {"name": "x", "values": [1, 2.5, None]}, tensors)
    config, read = checkpoint.read(path)
    assert config == {"name": "x", "values": [1, 2.5, None]}
    assert read["a"].equal(tensors["a"])
    assert read["inner"]["b"].equal(torch.zeros(2))
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_reading_runs_no_code(tmp_path, capsys):
    torch.save({"format": 1, "config": "{}", "tensors": Harmful()}, tmp_path / "state")
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.read(tmp_path / "state")
    assert "code ran" not in capsys.readouterr().out


def test_other_formats_are_refused(tmp_path):
    torch.save({"format": 99}, tmp_path / "state")
    with pytest.raises(ValueError, match="must be a chaosfit checkpoint of format 1, but its format is 99"):
        checkpoint.read(tmp_path / "state")
    with pytest.raises(TypeError):
        checkpoint.write(tmp_path / "state", {"object": object()}, {})
