"""Arguments, and what is said of wrong ones."""

import dataclasses

import pytest

import train_moe
from moe import arguments, checkpoint, config, mesh


@pytest.mark.parametrize(
  ("text", "shape"),
  [
    ("data=2,expert=4", mesh.MeshShape(2, 4)),
    ("expert=4", mesh.MeshShape(1, 4)),
    ("expert=2,data=3", mesh.MeshShape(3, 2)),
  ],
)
def test_a_mesh_is_read(text, shape):
  assert arguments.parse(["--mesh", text]).mesh == shape


@pytest.mark.parametrize(
  "text", ["data", "data=0", "data=2,", "tensor=2", "data=2,data=2", ""]
)
def test_what_is_no_mesh_is_refused(text, capsys):
  with pytest.raises(SystemExit) as stopped:
    arguments.parse(["--mesh", text])
  assert stopped.value.code == 2
  assert "the mesh must be like data=2,expert=4" in capsys.readouterr().err


def test_the_number_of_steps_decides_the_schedule_and_the_defaults():
  given = arguments.parse(["--steps", "10"])
  assert given.preset.train.num_steps == 10
  assert given.preset.train.warmup_steps < 10
  assert (given.checkpoint_every, given.eval_every) == (2, 1)
  assert arguments.parse(["--checkpoint-every", "0"]).checkpoint_every == 0


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (["--preset", "h200"], "needs a Hopper GPU"),
    (["--mesh", "data=3"], "batch of 8 sequences must be divisible by"),
    (["--mesh", "data=8"], "needs 8 devices, but there are 4"),
  ],
)
def test_devices_that_do_not_fit_are_refused(argv, message, tmp_path, capsys):
  assert train_moe.main([*argv, "--out", str(tmp_path)]) == 2
  assert message in capsys.readouterr().err


def test_the_experts_must_be_divisible(monkeypatch, capsys):
  tiny = config.PRESETS["tiny"]
  model = dataclasses.replace(tiny.model, num_experts=6)
  odd = dataclasses.replace(tiny, model=model)
  monkeypatch.setitem(config.PRESETS, "tiny", odd)
  assert train_moe.main(["--mesh", "expert=4"]) == 2
  assert "6 experts must be divisible" in capsys.readouterr().err


def test_a_coordinator_alone_is_refused(capsys):
  with pytest.raises(SystemExit):
    arguments.parse(["--coordinator", "localhost:1"])
  assert "belong together" in capsys.readouterr().err


def test_another_run_is_told_from_this_one():
  preset = config.PRESETS["micro"]
  longer = dataclasses.replace(
    preset, train=dataclasses.replace(preset.train, num_steps=21)
  )
  one = checkpoint.identity(preset, "fp8", "mega", 0, "digest")
  others = [
    checkpoint.identity(longer, "fp8", "mega", 0, "digest"),
    checkpoint.identity(preset, "bf16", "mega", 0, "digest"),
    checkpoint.identity(preset, "fp8", "steps", 0, "digest"),
    checkpoint.identity(preset, "fp8", "mega", 1, "digest"),
    checkpoint.identity(preset, "fp8", "mega", 0, "other"),
  ]
  for other in others:
    assert sum(one[name] != other[name] for name in one) == 1
