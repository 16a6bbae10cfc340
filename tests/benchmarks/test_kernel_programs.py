"""Kernels read back from programs, and how their compilation is timed."""

import functools
import types

import jax
import jax.numpy as jnp
import pytest

from benchmarks import jit_times, kernel_programs
from jax_deepgemm.environment import read
from jax_deepgemm.jit import Recipe, headers_fingerprint
from jax_deepgemm.primitives import launch

_SOURCE = 'extern "C" __global__ void tiny(float* x) { *x = %d; }'


def _recipe(number):
  return Recipe(
    "tiny",
    _SOURCE % number,
    "sm_90a",
    "--use_fast_math",
    headers_fingerprint(),
  )


def _program(*recipes):
  calls = [
    launch.KernelCall(
      recipe=recipe,
      grid=(132, 1, 1),
      cluster=(2, 1, 1),
      threads=128,
      smem_bytes=1024,
      pdl=False,
      params=(launch.Buffer(0),),
    )
    for recipe in recipes
  ]
  result = jax.ShapeDtypeStruct((4,), jnp.float32)

  @jax.jit
  def fn(x):
    for call in calls:
      (x,) = launch.call((call,), [x], [result])
    return x

  return kernel_programs.lowered_for(fn, result, device="NVIDIA H200")


def test_the_launches_of_a_program_come_in_order():
  found = kernel_programs.launches(_program(_recipe(1), _recipe(2)))
  assert [kernel_programs.recipe_of(x) for x in found] == [
    _recipe(1),
    _recipe(2),
  ]
  assert found[0]["params"] == {"p00": {"kind": "buffer", "index": 0}}


def test_a_program_without_kernels_has_no_launches():
  lowered = jax.jit(jnp.sin).lower(jnp.ones(3))
  assert kernel_programs.launches(lowered) == []


def test_a_config_holds_launch_sizes_and_fields_of_the_struct():
  struct = "Gemm<Config{.block_n = 16, .with_c = true, .major = M::kRow}>"
  launch_ = {
    "kernel": "k",
    "grid": [132, 1, 1],
    "cluster": [1, 1, 1],
    "threads": 256,
    "smem_bytes": 1024,
    "pdl": False,
    "source": f"using Kernel = {struct};",
  }
  config = kernel_programs.config_of(launch_)
  assert config["block_n"] == 16
  assert config["with_c"] is True
  assert config["grid"] == [132, 1, 1]
  assert "source" not in config


def test_a_program_s_config_is_that_of_its_first_or_its_only_kernel(
  monkeypatch,
):
  none = jax.jit(jnp.sin).lower(jnp.ones(3))
  one, two = _program(_recipe(1)), _program(_recipe(1), _recipe(2))
  # Stand-ins for functions: their programs.
  monkeypatch.setattr(kernel_programs, "lowered_for", lambda program: program)
  config = kernel_programs.only_config(one)
  assert config["kernel"] == "tiny"
  assert kernel_programs.first_config(one) == config
  assert kernel_programs.first_config(two, kernel="ti") == config
  assert kernel_programs.first_config(two, kernel="large") is None
  assert kernel_programs.first_config(none) is None
  for program in (none, two):
    with pytest.raises(ValueError, match="unpack"):
      kernel_programs.only_config(program)


def test_a_kernel_chooses_again_after_an_error():
  kernel = types.SimpleNamespace(choose=lambda problem: "best")

  def fail():
    with kernel_programs.chosen(kernel, "forced"):
      assert kernel.choose("problem", device=None) == "forced"
      raise RuntimeError

  with pytest.raises(RuntimeError):
    fail()
  assert kernel.choose("problem") == "best"


def test_repeated_recipes_are_made_distinct():
  recipes = jit_times.distinct([_recipe(1), _recipe(2)], 5)
  assert len({recipe.source for recipe in recipes}) == 5
  assert recipes[2].source.startswith(_SOURCE % 1)
  assert jit_times.distinct([_recipe(1), _recipe(2)], 1)[0].arch == "sm_90a"


def test_compiling_takes_longer_than_finding_again(tmp_path):
  pytest.importorskip("cuda.bindings", reason="compiles with NVRTC")
  settings = read({"DG_JIT_CACHE_DIR": str(tmp_path)}).jit
  recipes = jit_times.distinct([_recipe(1)], 4)
  rows = {row["case"]: row for row in jit_times.measure(recipes, settings)}
  cold = rows["one kernel, cold"]["us_median"]
  disk = rows["one kernel, from the disk cache"]["us_median"]
  memory = rows["one kernel, from memory"]["us_median"]
  assert cold > disk > memory > 0
  assert "4 kernels, cold, 4 workers" in rows
  assert not list(tmp_path.iterdir())


def test_the_result_is_written_with_its_provenance(
  tmp_path, capsys, monkeypatch
):
  pytest.importorskip("cuda.bindings", reason="compiles with NVRTC")
  make = functools.partial(jit_times.distinct, [_recipe(1)], 1)
  monkeypatch.setattr(jit_times, "dense_recipes", lambda device: make())
  path = tmp_path / "jit_times.json"
  arguments = ["--num-kernels", "2", "--output", str(path), "--commit", "abc"]
  assert jit_times.main(arguments) == 0
  assert "one kernel, cold" in capsys.readouterr().out
  assert '"commit": "abc"' in path.read_text()
