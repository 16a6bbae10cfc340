"""Shapes to tune: from the command line, from JSON, from a checkpoint."""

import json

import numpy as np
import pytest

from jax_deepgemm.cli.errors import CommandLineError
from jax_deepgemm.cli.main import main
from jax_deepgemm.cli.tuning_arguments import parse


def names(*arguments):
  return [task.name for task in parse(arguments).tasks]


def test_each_shape_is_one_problem_and_none_is_twice():
  found = names(*["--fp8", "1x2x3", "4x5x6", "1x2x3", "--bf16", "1x2x3"])
  # FP8 is padded to rows that TMA can load.
  assert found == ["1d2d bf16 1x2x32", "1d2d bf16 4x5x32", "nt bf16 1x2x3"]


def test_groups_and_rows_are_combined():
  m_grouped = ["--m-grouped-fp8", "512x256", "--expected-m", "60,64,65"]
  k_grouped = ["--k-grouped-fp8", "128x256x1024"]
  bf16 = ["--m-grouped-bf16", "16x32"]
  found = names(*m_grouped, *bf16, *k_grouped, "--groups", "4,8", "--ragged")
  assert found == [
    "ragged bf16 4 x 512x256, expected_m to 64",
    "ragged bf16 4 x 512x256, expected_m to 96",
    "ragged bf16 8 x 512x256, expected_m to 64",
    "ragged bf16 8 x 512x256, expected_m to 96",
    "nt bf16 4 x 16x32, expected_m to 64",
    "nt bf16 4 x 16x32, expected_m to 96",
    "nt bf16 8 x 16x32, expected_m to 64",
    "nt bf16 8 x 16x32, expected_m to 96",
    "f32 4 x 128x256, packed k to 1536",
    "f32 8 x 128x256, packed k to 2048",
  ]


def test_a_file_names_problems_of_all_families(tmp_path):
  path = tmp_path / "shapes.json"
  dense = {"m": 8, "n": 16, "k": 128}
  document = {
    "fp8": [dense, {**dense, "sfb_per_row": True, "float32_out": True}],
    "bf16": [{**dense, "b_mn_major": True, "with_c": True}],
    "m_grouped_fp8": [{"n": 16, "k": 128, "groups": 2, "expected_m": 5}],
    "m_grouped_bf16": [
      {"n": 16, "k": 128, "groups": 2, "expected_m": 5, "b_mn_major": True}
    ],
    "k_grouped_fp8": [{**dense, "groups": 2, "with_c": True}],
  }
  path.write_text(json.dumps(document))
  assert names("--shapes", str(path)) == [
    "1d2d bf16 8x16x128",
    "1d1d f32 8x16x128",
    "nn bf16 c 8x16x128",
    "aligned bf16 2 x 16x128, expected_m to 6",
    "nn bf16 2 x 16x128, expected_m to 6",
    "f32 c 2 x 8x16, packed k to 384",
  ]


def test_a_checkpoint_gives_each_shape_of_its_weights_once(tmp_path):
  numpy_file = pytest.importorskip("safetensors.numpy")
  path = str(tmp_path / "model.safetensors")
  weights = {
    "a.up": np.ones((16, 8), np.float32),
    "b.up": np.ones((16, 8), np.float32),
    "b.down": np.ones((8, 16), np.float32),
    "norm": np.ones(8, np.float32),
  }
  numpy_file.save_file(weights, path)
  found = names("--weights", path, "--m", "1,64")
  assert len(found) == 4
  assert set(found) >= {"1d2d bf16 1x16x32", "1d2d bf16 64x8x16"}
  only = names("--weights", path, "--m", "1", "--layers", "up")
  assert only == ["1d2d bf16 1x16x32"]


@pytest.mark.parametrize(
  ("document", "message"),
  [
    ("{", "cannot be read as a JSON file"),
    ("[]", "must hold a JSON object with keys of fp8, bf16"),
    ('{"fp4": []}', "must hold a JSON object with keys of fp8, bf16"),
    ('{"fp8": [3]}', "must be an object with fields of m, n, k"),
    ('{"fp8": [{"m": 1, "q": 2}]}', "must be an object with fields of m, n"),
    ('{"fp8": [{"m": 1, "n": 2}]}', r"fp8\[0\] .* has no field 'k'"),
    ('{"fp8": [{"m": 0, "n": 2, "k": 3}]}', "m of .* an integer above 0"),
    ('{"fp8": [{"m": true, "n": 2, "k": 3}]}', "an integer above 0, got True"),
    (
      '{"fp8": [{"m": 1, "n": 2, "k": 3, "with_c": 1}]}',
      "must be true or false, got 1",
    ),
    (
      '{"k_grouped_fp8": [{"m": 1, "n": 2, "k": 3, "groups": 2000}]}',
      "groups must be at most 1024, got 2000",
    ),
  ],
)
def test_files_that_hold_no_shapes_are_refused(tmp_path, document, message):
  path = tmp_path / "shapes.json"
  path.write_text(document)
  with pytest.raises(CommandLineError, match=message):
    parse(["--shapes", str(path)])
  assert main(["tune", "--dry-run", "--shapes", str(path)]) == 2


@pytest.mark.parametrize(
  "arguments",
  [
    "",
    "--dry-run",
    "--fp8 1x2",
    "--fp8 1x2x0",
    "--bf16 1x2xk",
    "--groups 3 --fp8 1x2x3",
    "--m-grouped-fp8 1x2 --groups 3",
    "--m-grouped-fp8 1x2 --expected-m 3",
    "--m-grouped-bf16 1x2 --groups 3",
    "--m-grouped-bf16 1x2 --groups 3 --expected-m 3 --ragged",
    "--k-grouped-fp8 1x2x3",
    "--ragged --fp8 1x2x3",
    "--m 1 --fp8 1x2x3",
    "--weights x",
    "--layers x --fp8 1x2x3",
    "--fp8 1x2x3 --configs 0",
  ],
)
def test_wrong_arguments_are_exit_code_2(arguments, capsys):
  with pytest.raises(SystemExit) as exit_:
    main(["tune", *arguments.split()])
  assert exit_.value.code == 2
  assert "error:" in capsys.readouterr().err
