"""examples/train_moe.py with the kernels."""

import jax
import numpy as np
import pytest

import train_moe
from moe import batches, metrics

pytestmark = pytest.mark.gpu

# One device: tests of other meshes run on simulated ones.
_ARGUMENTS = (
  *("--preset", "tiny", "--mesh", "data=1", "--steps", "20"),
  *("--eval-every", "20", "--log-every", "20"),
  # The gradient of cuDNN's attention is added up in any order.
  *("--attention", "xla"),
)


def _train(out, *arguments):
  assert train_moe.main([*_ARGUMENTS, *arguments, "--out", str(out)]) == 0
  return metrics.read(out / metrics.FILE)


def _train_with_break(out, monkeypatch, *arguments):
  """Trains until step 13 breaks; the checkpoint is that of step 8."""
  batch = batches.batch

  def breaks_in_step_13(text, shape, seed, step, mesh):
    if step == 12:
      raise RuntimeError("broken")
    return batch(text, shape, seed, step, mesh)

  with monkeypatch.context() as patch:
    patch.setattr(batches, "batch", breaks_in_step_13)
    with pytest.raises(RuntimeError, match="broken"):
      _train(out, *arguments, "--checkpoint-every", "8")


def _losses(rows):
  return metrics.losses(rows)[1]


@pytest.fixture(autouse=True)
def _implicit_promotion():
  """Attention in jax.nn relies on it."""
  with jax.numpy_dtype_promotion("standard"):
    yield


def test_fp8_trains_like_bf16_and_the_same_way_each_time(tmp_path):
  none = ("--checkpoint-every", "0")
  bf16 = _train(tmp_path / "bf16", *none)
  fp8 = _train(tmp_path / "fp8", "--precision", "fp8", *none)
  again = _train(tmp_path / "again", "--precision", "fp8", *none)
  assert _losses(fp8)[-1] < 4
  # Single steps scatter by 5 %.
  np.testing.assert_allclose(_losses(fp8), _losses(bf16), rtol=0.1)
  mean = np.mean(_losses(bf16))
  assert np.mean(_losses(fp8)) == pytest.approx(mean, rel=0.01)
  # One validation while the loss still falls: 1 to 10 % apart on a CPU, too.
  assert metrics.final_loss(fp8) == pytest.approx(
    metrics.final_loss(bf16), rel=0.15
  )
  assert _losses(again) == _losses(fp8)


def test_a_run_that_broke_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
  arguments = ("--precision", "fp8", "--checkpoint-every", "8")
  whole = _train(tmp_path / "whole", *arguments)
  _train_with_break(tmp_path / "broken", monkeypatch, *arguments)
  written = metrics.read(tmp_path / "broken" / metrics.FILE)
  assert _losses(written) == _losses(whole)[:8]
  assert _losses(_train(tmp_path / "broken", *arguments)) == _losses(whole)


def test_one_operation_trains_like_the_steps_and_goes_on(tmp_path, monkeypatch):
  arguments = ("--precision", "fp8", "--mesh", "expert=1")
  none = ("--checkpoint-every", "0")
  steps = _train(tmp_path / "steps", *arguments, *none)
  mega = (*arguments, "--moe", "mega")
  whole = _train(tmp_path / "whole", *mega, *none)
  # The first differ by roundings alone, and later ones scatter.
  np.testing.assert_allclose(_losses(whole)[:5], _losses(steps)[:5], rtol=1e-3)
  np.testing.assert_allclose(_losses(whole), _losses(steps), rtol=0.1)
  assert _losses(whole) != _losses(steps)
  _train_with_break(tmp_path / "broken", monkeypatch, *mega)
  again = _train(tmp_path / "broken", *mega, "--checkpoint-every", "8")
  assert _losses(again) == _losses(whole)
