"""`tune` with a clock that a test sets, from the shapes to the choice."""

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm
from jax_deepgemm.cli import tune, tuning, tuning_shapes, tuning_store
from jax_deepgemm.cli.errors import CommandLineError
from jax_deepgemm.cli.main import main
from jax_deepgemm.cli.tuning_arguments import TuneArguments
from jax_deepgemm.cli.tuning_timer import lower_each
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.primitives import tuning_file
from tests.cli.tuned_cache import tuned_cache as tuned_cache

_SMALL = {
  "fp8": tuning_shapes.fp8(136, 264, 300),
  "fp8 swapped": tuning_shapes.fp8(5, 264, 512),
  "fp8 split": tuning_shapes.fp8(72, 264, 2048),
  "fp8 1d1d c": tuning_shapes.fp8(72, 136, 256, True, True, True),
  "bf16": tuning_shapes.bf16(136, 260, 200),
  "bf16 swapped": tuning_shapes.bf16(5, 264, 512),
  "bf16 tn c": tuning_shapes.bf16(136, 260, 200, True, True, True, True),
  "m aligned": tuning_shapes.m_grouped_fp8(136, 256, 3, 100),
  "m ragged": tuning_shapes.m_grouped_fp8(136, 256, 3, 100, True, True),
  "m bf16": tuning_shapes.m_grouped_bf16(136, 256, 3, 100),
  "m bf16 nn": tuning_shapes.m_grouped_bf16(256, 136, 3, 100, True, True),
  "k": tuning_shapes.k_grouped_fp8(136, 264, 1000, 3),
  "k c": tuning_shapes.k_grouped_fp8(136, 264, 1000, 3, True),
}
_DENSE = tuning_shapes.fp8(4096, 2112, 7168)


def timer(us_of):
  """Returns a timer that knows the microseconds of a key's rank."""

  def time(task, keys, num_tests):
    del num_tests
    order = tuning.candidates(task, H200, 1000)
    return [us_of(order.index(key)) for key in keys]

  return time


@pytest.mark.parametrize("task", _SMALL.values(), ids=_SMALL)
def test_each_candidate_is_what_its_program_launches(task):
  keys = tuning.candidates(task, H200, 6)
  assert len(keys) == len(set(keys)) == 6
  operands = task.family.operands(task.problem)
  programs = lower_each(
    task, H200, keys, operands, lowering_platforms=("cuda",)
  )
  for key, program in zip(keys, programs, strict=True):
    text = program.as_text()
    (config,) = [
      config
      for config in task.family.legal(task.problem, H200)
      if task.family.key_of(config) == key
    ]
    gemm = getattr(config, "gemm", config)
    assert f".num_stages = {gemm.num_stages}" in text
    warpgroups = gemm.num_math_warpgroups
    assert f".num_math_warpgroups = {warpgroups}" in text
    assert text.count("custom_call @jax_deepgemm_launch") == 1


def test_a_key_that_is_not_taken_is_an_error():
  task = _SMALL["bf16"]
  shapes = [
    jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    for shape in ((136, 200), (260, 200))
  ]
  with pytest.raises(RuntimeError, match="was not taken"):
    lower_each(task, H200, [(1,), (2,)], shapes, lowering_platforms=("cuda",))


@pytest.mark.parametrize("task", [_DENSE, *_SMALL.values()])
def test_the_default_is_a_candidate_and_the_limit_holds(task):
  keys = tuning.candidates(task, H200, 4)
  chosen = task.family.choose(task.problem, H200)
  assert keys[0] == task.family.key_of(chosen)
  assert len(keys) == 4
  assert tuning.candidates(task, H200, 1) == keys[:1]


def test_the_fastest_wins():
  outcome = tuning.tune(_DENSE, H200, 12, timer(lambda rank: 10.0 - rank / 2))
  order = tuning.candidates(_DENSE, H200, 12)
  assert outcome.key == order[11]
  assert outcome.us == 4.5
  assert (outcome.default_key, outcome.default_us) == (order[0], 10.0)
  assert outcome.num_timed == 12


@pytest.mark.parametrize(("us", "wins"), [(9.91, False), (9.89, True)])
def test_a_tie_keeps_the_default(us, wins):
  outcome = tuning.tune(
    _DENSE, H200, 8, timer(lambda rank: us if rank == 3 else 10.0 + rank)
  )
  assert (outcome.key != outcome.default_key) == wins
  assert outcome.us == (us if wins else 10.0)


def test_only_the_long_measurement_decides():
  calls = []

  def time(task, keys, num_tests):
    calls.append((len(keys), num_tests))
    first = len(calls) == 1
    return [10.0 - i if first else 10.0 + i for i in range(len(keys))]

  outcome = tuning.tune(_DENSE, H200, 9, time)
  assert [count for count, _ in calls] == [9, 1 + tuning.NUM_FINALISTS]
  assert calls[1][1] > calls[0][1]
  assert outcome.key == outcome.default_key


def _lowered(m, n, k):
  shapes = [
    jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in ((m, k), (n, k))
  ]
  traced = jax.jit(lambda *x: jax_deepgemm.bf16_gemm_nt(*x)).trace(*shapes)
  return traced.lower(lowering_platforms=("cuda",)).as_text()


def test_a_winner_is_stored_read_once_and_chosen(tuned_cache, capsys):
  task = tuning_shapes.bf16(4096, 2112, 7168)
  before = _lowered(4096, 2112, 7168)
  arguments = TuneArguments((task,), 10, False)
  time = timer(lambda rank: 5.0 if rank == 7 else 10.0)
  ((_, outcome),) = tune.tune_all(arguments, H200, time)
  assert outcome.key == tuning.candidates(task, H200, 10)[7]
  assert "100.0%" in capsys.readouterr().out
  assert _lowered(4096, 2112, 7168) == before  # This process has read already.
  tuned_cache()
  after = _lowered(4096, 2112, 7168)
  assert after != before
  table = tuning_file.user_table(H200)
  assert table.key(task.family.name, task.name, H200) == outcome.key
  choice = task.family.choose(task.problem, H200, user=table)
  assert task.family.key_of(choice) == outcome.key
  with jax_deepgemm.options(device="NVIDIA H100 80GB HBM3"):
    assert _lowered(4096, 2112, 7168) != after


@pytest.mark.parametrize("task", _SMALL.values(), ids=_SMALL)
def test_every_family_finds_its_entry(task, tuned_cache):
  del tuned_cache
  wanted = tuning.candidates(task, H200, 6)[5]
  tuning_store.store(H200, task.family.name, task.name, {"key": list(wanted)})
  user = tuning_file.user_table(H200)
  choice = task.family.choose(task.problem, H200, user=user)
  assert task.family.key_of(choice) == wanted


def test_a_table_that_cannot_be_written_is_an_error(tuned_cache, monkeypatch):
  del tuned_cache

  def refuse(*args):
    raise OSError("disk full")

  monkeypatch.setattr(tuning_store, "store", refuse)
  arguments = TuneArguments((_SMALL["fp8"],), 2, False)
  with pytest.raises(CommandLineError, match="cannot be stored: disk full"):
    tune.tune_all(arguments, H200, timer(float))


def test_without_hopper_there_is_an_error(capsys, monkeypatch):
  monkeypatch.setattr(tune, "process_device", lambda: None)
  assert main(["tune", "--fp8", "128x256x512"]) == 2
  assert "needs a Hopper GPU, found no CUDA GPU" in capsys.readouterr().err
  old = jax_deepgemm.heuristics.device.Device("NVIDIA A100", (8, 0))
  monkeypatch.setattr(tune, "process_device", lambda: old)
  assert main(["tune", "--fp8", "128x256x512"]) == 2
  assert "found NVIDIA A100" in capsys.readouterr().err


def test_a_dry_run_lists_problems_and_times_nothing(
  capsys, monkeypatch, tuned_cache
):
  del tuned_cache
  monkeypatch.setattr(tune, "GpuTimer", None)
  dense = ["--fp8", "128x256x512"]
  grouped = ["--m-grouped-fp8", "512x256", "--groups", "4"]
  limits = ["--expected-m", "64", "--configs", "7"]
  code = main(["tune", "--dry-run", *dense, *grouped, *limits])
  assert code == 0
  output = capsys.readouterr().out
  assert "1d2d bf16 128x256x512" in output
  assert "aligned bf16 4 x 512x256, expected_m to 64" in output
  assert "14 configurations would be timed" in output
