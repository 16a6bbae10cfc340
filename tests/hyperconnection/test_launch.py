"""What the launch of tf32_hc_prenorm_gemm says, read without a GPU."""

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm as jd
from benchmarks import kernel_programs

_NAMES = ("a", "b", "d", "sqr_sum")
_NUMBERS = ("m", "n", "num_k_blocks", "num_m", "num_n", "groups", "partials")


def launch(m, n, k, *, splits=None, batch=(), **options):
  a = jax.ShapeDtypeStruct((*batch, m, k), jnp.bfloat16)
  b = jax.ShapeDtypeStruct((*batch, n, k), jnp.float32)

  def function(a, b):
    return jd.tf32_hc_prenorm_gemm(a, b, num_splits=splits)

  with jd.options(**options):
    mapped = jax.vmap(function) if batch else function
    lowered = kernel_programs.lowered_for(
      jax.jit(mapped), a, b, device="NVIDIA H200"
    )
  (found,) = kernel_programs.launches(lowered)
  return found


def params(found):
  return {
    name: found["params"][f"p{i:02}"]
    for i, name in enumerate(_NAMES + _NUMBERS)
  }


def test_maps_and_numbers_describe_an_odd_shape():
  found = launch(70, 33, 1001, splits=3, block_size_multiple_of=(64, 32))
  assert found["kernel"] == "sm90_hc_prenorm_gemm"
  config = kernel_programs.config_of(found)
  values = params(found)
  assert values["a"]["dims"] == [1001, 70, 1]
  assert values["a"]["strides"] == [2016, 70 * 2016]  # Rows of 16 bytes.
  assert values["a"]["box"] == [64, 64 * config["num_math_warpgroups"], 1]
  assert values["b"]["dims"] == [1001, 33, 1]
  assert values["b"]["strides"] == [4032, 33 * 4032]
  assert values["b"]["box"] == [32, 32, 1]
  assert [values[name]["index"] for name in ("d", "sqr_sum")] == [2, 3]
  tiles_m = 70 // (64 * config["num_math_warpgroups"]) + 1
  numbers = [values[name]["value"] for name in _NUMBERS]
  assert numbers == [70, 33, 16, tiles_m, 2, 1, 3]
  clusters = tiles_m * 2 * 3
  assert found["grid"][0] == clusters * config["num_splits"]
  assert found["cluster"][0] == config["num_splits"]


def test_groups_are_those_of_both_operands():
  values = params(launch(5, 8, 64, batch=(3,)))
  assert values["a"]["dims"] == [64, 5, 3]
  assert values["b"]["dims"] == [64, 8, 3]
  assert values["groups"]["value"] == 3


@pytest.mark.parametrize("pdl", [False, True])
def test_options_reach_the_launch(pdl):
  found = launch(13, 24, 28672, pdl=pdl, batch_invariant=True)
  assert found["pdl"] is pdl
  assert kernel_programs.config_of(found)["num_splits"] == 4


def test_the_reference_is_another_program():
  a, b = jnp.ones((3, 64), jnp.bfloat16), jnp.ones((8, 64))
  with jd.options(implementation="reference", device="NVIDIA H200"):
    text = (
      jax.jit(jd.tf32_hc_prenorm_gemm)
      .trace(a, b)
      .lower(lowering_platforms=("cuda",))
      .as_text()
    )
  assert "jax_deepgemm_launch" not in text
