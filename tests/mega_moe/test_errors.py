"""What is refused while tracing, and with which words."""

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm as dg
from tests.mega_moe.layers import (
  BF16,
  EXPERTS,
  FP4,
  FP8,
  HIDDEN,
  INTERMEDIATE,
  TOKENS,
  TOP_K,
  buffer,
  over_ranks,
)

RANKS, HERE = 4, EXPERTS // 4
PER_RANK = TOKENS // RANKS
F32, BFLOAT16, I32 = jnp.float32, jnp.bfloat16, jnp.int32


def array(*shape, dtype=BFLOAT16):
  return jnp.zeros(shape, dtype)


def call(ranks=RANKS, mma_type=FP8, made_for=FP8, destroyed=False, **changes):
  """Traces a call of one of `ranks` ranks."""
  symmetric = changes.pop("sym_buffer", buffer(RANKS, mma_type=made_for))
  if destroyed:
    symmetric.destroy()
  given = {
    "x": array(PER_RANK, HIDDEN),
    "topk_idx": array(PER_RANK, TOP_K, dtype=I32),
    "topk_weights": array(PER_RANK, TOP_K, dtype=F32),
    "l1_weights": array(HERE, 2 * INTERMEDIATE, HIDDEN),
    "l2_weights": array(HERE, HIDDEN, INTERMEDIATE),
    **changes,
  }
  function = {
    FP8: dg.fp8_mega_moe,
    FP4: dg.fp8_fp4_mega_moe,
    BF16: dg.bf16_mega_moe,
  }

  def shard():
    return function[mma_type](**given, sym_buffer=symmetric)

  jax.eval_shape(over_ranks(shard, ranks, in_specs=()))


def fp4(n, k, codes=jnp.int8, scales=I32, blocks=128):
  """Returns a weight of the experts of a rank."""
  return array(HERE, n, k // 2, dtype=codes), array(
    *(HERE, n, k // blocks), dtype=scales
  )


def call_fp4(**changes):
  given = {
    "l1_weights": fp4(2 * INTERMEDIATE, HIDDEN),
    "l2_weights": fp4(HIDDEN, INTERMEDIATE),
    **changes,
  }
  call(**{"mma_type": FP4, "made_for": FP4, **given})


REFUSED = {
  "no buffer": (
    lambda: call(sym_buffer=3),
    TypeError,
    "sym_buffer must be what get_symm_buffer_for_mega_moe returned, got int",
  ),
  "a buffer that is gone": (
    lambda: call(destroyed=True),
    ValueError,
    "sym_buffer must not be destroyed; buffer",
  ),
  "a buffer for bfloat16": (
    lambda: call(made_for=BF16),
    ValueError,
    "sym_buffer must be made with mma_type 'fp8xfp8', got 'bf16xbf16'",
  ),
  "a buffer for FP8": (
    lambda: call(mma_type=BF16),
    ValueError,
    "sym_buffer must be made with mma_type 'bf16xbf16', got 'fp8xfp8'",
  ),
  "a buffer for another mesh": (
    lambda: call(ranks=2),
    ValueError,
    "sym_buffer must be made for axis 'e' of size 2, as it is here, got one for"
    " 4 ranks",
  ),
  "too many tokens": (
    lambda: call(x=array(PER_RANK + 1, HIDDEN)),
    ValueError,
    "x must have at most 12 tokens, the num_max_tokens_per_rank of sym_buffer,"
    " got 13",
  ),
  "other columns": (
    lambda: call(x=array(PER_RANK, 128)),
    ValueError,
    "x must have 256 columns, the hidden of sym_buffer, got shape (12, 128)",
  ),
  "tokens in float32": (
    lambda: call(x=array(PER_RANK, HIDDEN, dtype=F32)),
    TypeError,
    "x must be bfloat16, or codes with scales, got float32 of shape (12, 256)",
  ),
  "tokens of rank 1": (
    lambda: call(x=array(HIDDEN)),
    ValueError,
    "x must have shape [t, k], got (256,)",
  ),
  "indices that are no integers": (
    lambda: call(topk_idx=array(PER_RANK, TOP_K, dtype=F32)),
    TypeError,
    "topk_idx must be an array of integers, got float32",
  ),
  "more choices": (
    lambda: call(topk_idx=array(PER_RANK, TOP_K + 1, dtype=I32)),
    ValueError,
    "topk_idx must have shape [tokens, num_topk of sym_buffer] = (12, 3), got"
    " (12, 4)",
  ),
  "weights of other tokens": (
    lambda: call(topk_weights=array(1, TOP_K, dtype=F32)),
    ValueError,
    "topk_weights must have shape [tokens, num_topk of sym_buffer] = (12, 3),"
    " got (1, 3)",
  ),
  "weights in bfloat16": (
    lambda: call(topk_weights=array(PER_RANK, TOP_K)),
    TypeError,
    "topk_weights must be a float32 array, got bfloat16",
  ),
  "experts of all ranks": (
    lambda: call(
      l1_weights=array(EXPERTS, 2 * INTERMEDIATE, HIDDEN),
      l2_weights=array(EXPERTS, HIDDEN, INTERMEDIATE),
    ),
    ValueError,
    "l1_weights must have shape [experts of a rank, 2 intermediate_hidden,"
    " hidden] = (2, 256, 256), as sym_buffer was made for, got (8, 256, 256)",
  ),
  "weights without the shared ones": (
    lambda: call(sym_buffer=buffer(RANKS, num_shared=1)),
    ValueError,
    "l1_weights must have shape [experts of a rank, 2 intermediate_hidden,"
    " hidden] = (3, 256, 256), as sym_buffer was made for with"
    " num_shared_experts 1, got (2, 256, 256)",
  ),
  "weights that do not fit": (
    lambda: call(l2_weights=array(HERE, HIDDEN, 2 * INTERMEDIATE)),
    ValueError,
    "l2_weights must have shape [experts of a rank, hidden,"
    " intermediate_hidden] = (2, 256, 128), as l1_weights have it, got"
    " (2, 256, 256)",
  ),
  "a gate without up": (
    lambda: call(l1_weights=array(HERE, 255, HIDDEN)),
    ValueError,
    "l1_weights must have the rows of gate and as many of up, got shape"
    " (2, 255, 256)",
  ),
  "codes for bfloat16": (
    lambda: call(
      mma_type=BF16, made_for=BF16, l1_weights=array(HERE, 256, 256, dtype=F32)
    ),
    TypeError,
    "l1_weights must be a bfloat16 array, got float32 of shape (2, 256, 256)",
  ),
  "a buffer for FP8 weights": (
    lambda: call_fp4(made_for=FP8),
    ValueError,
    "sym_buffer must be made with mma_type 'fp8xfp4', got 'fp8xfp8'",
  ),
  "plain weights for FP4": (
    lambda: call_fp4(l1_weights=array(HERE, 2 * INTERMEDIATE, HIDDEN)),
    TypeError,
    "l1_weights must be FP4 as per_token_cast_to_fp4(w, use_ue8m0=True,"
    " gran_k=32, use_packed_ue8m0=True) returns it, got one of bfloat16",
  ),
  "FP8 weights for FP4": (
    lambda: call_fp4(
      l2_weights=fp4(HIDDEN, INTERMEDIATE, codes=jnp.float8_e4m3fn)
    ),
    TypeError,
    "l2_weights must be FP4 as per_token_cast_to_fp4(w, use_ue8m0=True,"
    " gran_k=32, use_packed_ue8m0=True) returns it, got values of"
    " float8_e4m3fn",
  ),
  "FP4 weights with float32 scales": (
    lambda: call_fp4(l1_weights=fp4(256, HIDDEN, scales=F32, blocks=32)),
    TypeError,
    "l1_weights must be FP4 as per_token_cast_to_fp4(w, use_ue8m0=True,"
    " gran_k=32, use_packed_ue8m0=True) returns it, got scales of float32; pack"
    " powers of two with pack_ue8m0_to_int",
  ),
  "FP4 weights of half the columns": (
    lambda: call_fp4(l1_weights=fp4(2 * INTERMEDIATE, HIDDEN // 2)),
    ValueError,
    "l2_weights must have shape [experts of a rank, hidden,"
    " intermediate_hidden] = (2, 128, 128), as l1_weights have it, got"
    " (2, 256, 128)",
  ),
  "FP4 weights of another layer": (
    lambda: call_fp4(l1_weights=fp4(512, HIDDEN), l2_weights=fp4(HIDDEN, 256)),
    ValueError,
    "l1_weights must have shape [experts of a rank, 2 intermediate_hidden,"
    " hidden] = (2, 256, 256), as sym_buffer was made for, got (2, 512, 256)",
  ),
  "another recipe": (
    lambda: call_fp4(recipe=(1, 1, 128)),
    NotImplementedError,
    "recipe: expected (1, 1, 32), as fp8_fp4_mega_moe has no other, got"
    " (1, 1, 128); quantise weights with",
  ),
  "two numbers of tokens": (
    lambda: call(num_tokens=array(2, dtype=I32)),
    TypeError,
    "num_tokens must be one integer, on the device or not, got int32 of shape"
    " (2,)",
  ),
  "stats of all experts": (
    lambda: call(cumulative_local_expert_recv_stats=array(8, dtype=I32)),
    ValueError,
    "cumulative_local_expert_recv_stats must have shape [experts of a rank] ="
    " (2,), got (8,)",
  ),
  "stats in float32": (
    lambda: call(cumulative_local_expert_recv_stats=array(2, dtype=F32)),
    TypeError,
    "cumulative_local_expert_recv_stats must be an int32 array, got float32",
  ),
  "a negative clamp": (
    lambda: call(activation_clamp=-1),
    ValueError,
    "activation_clamp must be >= 0, got -1",
  ),
  "a clamp that is no number": (
    lambda: call(activation_clamp="7"),
    TypeError,
    "activation_clamp must be a number or None, got '7'",
  ),
  "a flag that is none": (
    lambda: call(fast_math=1),
    TypeError,
    "fast_math must be a bool, got 1",
  ),
}


@pytest.mark.parametrize(
  ("f", "error", "message"), REFUSED.values(), ids=REFUSED
)
def test_bad_arguments_are_refused(f, error, message):
  with pytest.raises(error) as caught:
    f()
  assert str(caught.value).startswith(message)


def test_good_arguments_are_not():
  call(activation_clamp=7, num_tokens=5)
  call(mma_type=BF16, made_for=BF16)
  call_fp4(activation_clamp=7, num_tokens=5, recipe=[1, 1, 32])


def test_it_is_refused_outside_of_shard_map():
  layer = (
    array(PER_RANK, HIDDEN),
    array(PER_RANK, TOP_K, dtype=I32),
    array(PER_RANK, TOP_K, dtype=F32),
    array(HERE, 2 * INTERMEDIATE, HIDDEN),
    array(HERE, HIDDEN, INTERMEDIATE),
  )
  message = "sym_buffer must be used inside jax.shard_map along its axis 'e'"
  with pytest.raises(ValueError, match=message):
    dg.fp8_mega_moe(*layer, buffer(RANKS))


def test_weights_are_checked_and_exponents_unpacked():
  l1, l2 = array(2, 1024, 512), array(2, 512, 512)
  first, second = dg.transform_weights_for_mega_moe(l1, l2)
  assert first is l1
  assert second is l2
  codes = [dg.per_block_cast_to_fp8(w + 1, use_ue8m0=True) for w in (l1, l2)]
  packed = [(c.values, dg.pack_ue8m0_to_int(c.scales)) for c in codes]
  for found, expected in zip(
    dg.transform_weights_for_mega_moe(*packed), codes, strict=True
  ):
    assert jnp.array_equal(found.scales, expected.scales)
    assert jnp.array_equal(found.values, expected.values)
  with pytest.raises(
    ValueError, match="activation must be 'swiglu', got 'relu'"
  ):
    dg.transform_weights_for_mega_moe(l1, l2, "relu")
  with pytest.raises(TypeError, match="must both have scales, or neither"):
    dg.transform_weights_for_mega_moe(codes[0], l2)
  with pytest.raises(ValueError, match="l2_weights must have shape"):
    dg.transform_weights_for_mega_moe(l1, l1)


def test_fp4_weights_are_checked_and_left_as_they_are():
  l1, l2 = fp4(2 * INTERMEDIATE, HIDDEN), fp4(HIDDEN, INTERMEDIATE)
  found = dg.transform_weights_for_mega_moe(l1, l2)
  for weight, given in zip(found, (l1, l2), strict=True):
    assert weight.values is given[0]
    assert weight.scales is given[1]
  with pytest.raises(TypeError, match="l2_weights must be FP4"):
    dg.transform_weights_for_mega_moe(l1, array(HERE, HIDDEN, INTERMEDIATE))
