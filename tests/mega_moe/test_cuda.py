"""What `fp8_mega_moe` launches on Hopper GPUs, and where it does not."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from jax_deepgemm.primitives.call_chain import ChainBuffers, placed
from jax_deepgemm.primitives.launch import (
  Buffer,
  KernelCall,
  Scalar,
  TensorMap,
)
from tests.mega_moe.layers import (
  BF16,
  EXPERTS,
  FP4,
  FP8,
  HIDDEN,
  INTERMEDIATE,
  TOKENS,
  TOP_K,
  arrays,
  buffer,
  cast_to_fp4,
  layer_of,
  mesh,
  operands,
  over_ranks,
)
from tests.primitives.cuda_lowering import attribute, launches, lowered_for_cuda

_KERNELS = [
  "sm90_mega_moe_dispatch",
  "sm90_m_grouped_fp8_gemm",
  "sm90_cast_rows",
  "sm90_m_grouped_fp8_gemm",
  "sm90_mega_moe_combine",
]
_EXCHANGES = ("ragged_all_to_all", "all_gather", "all_to_all")


@pytest.fixture(autouse=True)
def no_lowering_of_another_test():
  jax.clear_caches()


def _lowered(f, *args, **settings):
  with dg.options(device="NVIDIA H200", **settings):
    return lowered_for_cuda(f, *args)


def _chains(text):
  """Returns the custom calls that are five launches."""
  return [line for line in launches(text) if "num_launches = 5" in line]


def _kernels(line):
  return re.findall(r'kernel = "(\w+)"', line)


def test_a_call_is_one_chain_of_launches_in_symmetric_memory():
  layer, _ = operands()
  symmetric = buffer(4)

  def shard(*args):
    *args, num_tokens = args
    return dg.fp8_mega_moe(
      *args, symmetric, num_tokens=num_tokens, activation_clamp=7
    )

  counts = jnp.arange(4, dtype=jnp.int32)
  text = _lowered(over_ranks(shard, 4), *arrays(layer), counts)
  (chain,) = _chains(text)
  assert _kernels(chain) == _KERNELS
  assert attribute(chain, "arenas") == f"dense<{symmetric.handle}>"
  assert not any(name in text for name in _EXCHANGES)
  # Ten operands, nine results, and then the arena.
  places = re.findall(r"index = 19 : i64[^}]*?offset = (\d+)", chain)
  arena = symmetric.arena
  wanted = {
    arena.pool_x_offset,
    arena.pool_weights_offset,
  }
  assert wanted == {int(place) for place in places}


def test_a_layer_of_fp4_weights_is_one_chain_too():
  """Weights reach the kernels as they came, rows as those of FP8 travel."""
  x, idx, weights, l1, l2 = arrays(operands()[0])
  l1, l2 = map(cast_to_fp4, (l1, l2))
  text = _lowered(layer_of(4, FP4), x, idx, weights, l1, l2)
  cast, chain = launches(text)
  assert attribute(cast, "kernel") == '"sm90_cast_rows"'
  product = "sm90_m_grouped_fp8_fp4_gemm_swapped"  # Experts have few rows.
  assert _kernels(chain) == [
    *(_KERNELS[0], product, _KERNELS[2], product, _KERNELS[4])
  ]
  assert not any(name in text for name in _EXCHANGES)
  assert "stablehlo.transpose" not in text


def test_a_layer_of_bfloat16_is_one_chain_too():
  """Nothing is quantised: a launch of it is all that there is."""
  layer = arrays(operands()[0])
  text = _lowered(layer_of(4, BF16), *layer)
  (chain,) = launches(text)
  product = "sm90_m_grouped_bf16_gemm"
  assert _kernels(chain) == [
    *(_KERNELS[0], product, _KERNELS[2], product, _KERNELS[4])
  ]
  assert "bfloat16_out = true" in chain
  assert "f8E4M3FN" not in text
  assert not any(name in text for name in _EXCHANGES)


def test_shared_experts_are_more_choices_of_the_same_chain():
  x, idx, weights, l1, l2 = arrays(operands()[0])
  symmetric = buffer(4, num_shared=2)

  def shard(*args):
    *args, l1, l2 = args
    l1, l2 = dg.transform_weights_for_mega_moe(
      l1, l2, shared_l1=l1, shared_l2=l2
    )
    return dg.fp8_mega_moe(*args, l1, l2, symmetric)

  text = _lowered(over_ranks(shard, 4), x, idx, weights, l1, l2)
  (chain,) = _chains(text)
  assert _kernels(chain) == _KERNELS
  # Of 12 tokens, 5 choices each, and of 4 experts.
  assert "tensor<12x5xi32>" in chain
  assert "tensor<4x256x256xf8E4M3FN>" in chain
  assert not any(name in text for name in _EXCHANGES)


def test_tokens_are_cast_in_one_launch_and_moved_in_the_next():
  """Scales are written as they are read: nothing lies between."""
  x, idx, weights, l1, l2 = arrays(operands()[0])
  l1, l2 = (dg.per_block_cast_to_fp8(w) for w in (l1, l2))
  text = _lowered(layer_of(4), x, idx, weights, l1, l2)
  cast, _ = launches(text)
  assert attribute(cast, "kernel") == '"sm90_cast_rows"'
  assert "mn_major = false" in cast
  assert "stablehlo.transpose" not in text


def test_the_backward_pass_needs_no_symmetric_memory():
  layer, dy = operands()

  def step(x, idx, weights, l1, l2, dy):
    y, pull = jax.vjp(
      lambda x, w, a, b: layer_of(4)(x, idx, w, a, b), x, weights, l1, l2
    )
    return y, pull(dy)

  text = _lowered(step, *arrays(layer), jnp.asarray(dy))
  assert len(_chains(text)) == 1
  assert text.count("@ragged_all_to_all") == 2


def test_it_is_computed_step_by_step_where_that_is_asked_for():
  layer = arrays(operands()[0])
  for mma_type in (FP8, BF16):
    text = _lowered(layer_of(4, mma_type), *layer, implementation="reference")
    assert not launches(text)


def test_what_has_no_kernel_is_refused():
  layer = arrays(operands()[0])
  x, idx, weights, l1, l2 = layer
  codes = (
    dg.per_token_cast_to_fp8(x),
    *(idx, weights),
    *(dg.per_block_cast_to_fp8(w) for w in (l1, l2)),
  )
  with dg.options(implementation="kernel"):
    with pytest.raises(NotImplementedError, match="mega_moe has no kernel for"):
      jax.jit(layer_of(4)).lower(*codes)
    with pytest.raises(NotImplementedError, match="mega_moe has no kernel for"):
      jax.jit(layer_of(4, BF16)).lower(*layer)


@pytest.mark.parametrize("fast_math", [True, False])
def test_exponentials_are_as_exact_as_is_asked_for(fast_math):
  """Those of the results, and of what the gradient of W2 is made of."""
  x, idx, weights, l1, l2 = arrays(operands()[0])

  def step(l2):
    layer = layer_of(4, fast_math=fast_math)
    return layer(x, idx, weights, l1, l2).astype(jnp.float32).sum()

  text = _lowered(jax.grad(step), l2)
  made = [line.split("kWeightedSwiglu")[1:] for line in launches(text)]
  flags = [
    re.search(r"fast_math = (\w+)", part).group(1)
    for parts in made
    for part in parts
  ]
  assert flags == [str(fast_math).lower()] * 2


def test_axes_that_xla_shards_are_refused():
  two_by_two = mesh(2, 2, names="de")
  sizes = (EXPERTS, TOKENS // 2, TOP_K, HIDDEN, INTERMEDIATE)
  symmetric = dg.get_symm_buffer_for_mega_moe(two_by_two, "e", *sizes)

  def split(**axes):
    return jax.shard_map(
      lambda *args: dg.fp8_mega_moe(*args, symmetric),
      mesh=two_by_two,
      in_specs=P("e"),
      out_specs=P("e"),
      check_vma=False,
      **axes,
    )

  layer = arrays(operands()[0])
  assert len(_chains(_lowered(split(), *layer))) == 1
  with pytest.raises(NotImplementedError, match="make all axes of the mesh"):
    _lowered(split(axis_names={"e"}), *layer)


def test_a_batch_is_refused():
  layer = arrays(operands()[0])
  with pytest.raises(NotImplementedError, match="mega_moe has no vmap"):
    jax.eval_shape(
      jax.vmap(layer_of(4), in_axes=(0, 0, 0, None, None)),
      *(jnp.stack([x, x]) for x in layer[:3]),
      *layer[3:],
    )


def test_buffers_of_a_launch_are_renumbered():
  call = KernelCall(
    recipe=None,
    grid=(1, 1, 1),
    cluster=(1, 1, 1),
    threads=32,
    smem_bytes=0,
    pdl=False,
    params=(
      Buffer(1),
      Scalar(1),
      TensorMap(0, "u8", (16,), (), (16,), 0, offset=32),
      Buffer(0, 16),
    ),
  )
  names = ChainBuffers(
    ("a", "b"), {"c": jax.ShapeDtypeStruct((1,), np.float32)}, ("arena",)
  )
  moved = placed(call, (names.at("arena", 1024), names.at("c")))
  assert moved.params == (
    Buffer(2),
    Scalar(1),
    TensorMap(3, "u8", (16,), (), (16,), 0, offset=1056),
    Buffer(3, 1040),
  )
  with pytest.raises(IndexError):
    placed(call, (names.at("a"),))
