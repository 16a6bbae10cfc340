"""What the Hopper M-grouped BF16 kernel's call says, read without a GPU."""

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm
from benchmarks import kernel_programs

GROUPS, N, K = 3, 384, 512


def _lowered(function, a_shape, layout_size, *, nn=False, grad=False, **kwargs):
  b_shape = (GROUPS, K, N) if nn else (GROUPS, N, K)
  a, b = (jax.ShapeDtypeStruct(s, jnp.bfloat16) for s in (a_shape, b_shape))
  numbers = jax.ShapeDtypeStruct((layout_size,), jnp.int32)

  def product(a, b, numbers):
    return function(a, b, numbers, **kwargs)

  if grad:

    def product(a, b, numbers):
      _, pull = jax.vjp(lambda a: function(a, b, numbers, **kwargs), a)
      return pull(jnp.zeros((*a_shape[:-1], N), jnp.bfloat16))

  return kernel_programs.lowered_for(
    jax.jit(product), a, b, numbers, device="NVIDIA H200"
  )


def _launch(*args, **kwargs):
  (launch,) = kernel_programs.launches(_lowered(*args, **kwargs))
  return launch


def _maps(launch):
  params = [launch["params"][f"p{i:02}"] for i in range(4)]
  return dict(zip(("a", "a_slab", "b", "d"), params, strict=True))


NT = jax_deepgemm.m_grouped_bf16_gemm_nt_contiguous
NN = jax_deepgemm.m_grouped_bf16_gemm_nn_contiguous
RAGGED = jax_deepgemm.m_grouped_bf16_gemm_nt_ragged
MASKED = jax_deepgemm.m_grouped_bf16_gemm_nt_masked


def test_rows_of_all_groups_are_one_matrix():
  maps = _maps(_launch(RAGGED, (300, K), GROUPS))
  assert maps["d"]["dims"] == [N, 300, 1]
  assert maps["a"]["dims"][1] == maps["a_slab"]["dims"][1] == 300
  assert maps["a_slab"]["box"][1] == 64
  assert maps["b"]["dims"][-1] == GROUPS
  maps = _maps(_launch(MASKED, (GROUPS, 100, K), GROUPS))
  assert maps["d"]["dims"] == [N, 300, 1]


def test_the_index_layout_has_two_operands_more():
  assert _maps(_launch(NT, (300, K), 300))["d"]["index"] == 4
  psum = _launch(NT, (300, K), GROUPS, use_psum_layout=True)
  assert _maps(psum)["d"]["index"] == 3


def test_b_along_n_is_read_as_it_lies():
  settings = {"use_psum_layout": True, "nn": True}
  maps = _maps(_launch(NN, (300, K), GROUPS, **settings))
  assert maps["b"]["dims"] == [N, K, GROUPS]
  assert maps["b"]["box"] == [64, 64, 1]


@pytest.mark.parametrize("grad", [False, True])
def test_no_operand_is_copied_or_transposed(grad):
  for function, nn in ((NT, False), (NN, True)):
    text = _lowered(
      function, (300, K), GROUPS, nn=nn, grad=grad, use_psum_layout=True
    ).as_text()
    assert "transpose" not in text
    assert "stablehlo.pad" not in text


def test_more_groups_than_the_table_holds_are_refused():
  a = jax.ShapeDtypeStruct((4, 64), jnp.bfloat16)
  b = jax.ShapeDtypeStruct((1025, 64, 64), jnp.bfloat16)
  sizes = jax.ShapeDtypeStruct((1025,), jnp.int32)
  with pytest.raises(NotImplementedError, match="at most 1024 groups"):
    kernel_programs.lowered_for(
      jax.jit(RAGGED), a, b, sizes, device="NVIDIA H200"
    )
