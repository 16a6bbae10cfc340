"""What is refused while tracing, and with which words."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

import jax_deepgemm
from tests.expert_parallel import moe_layer


def inside(f):
  """Traces f() inside a shard_map over the axis "a" of size 4."""
  mapped = jax.shard_map(
    f, mesh=moe_layer.mesh(4), in_specs=(), out_specs=P("a")
  )
  jax.eval_shape(mapped)


def dispatch(x=None, ids=None, **options):
  x = jnp.zeros((6, 24), jnp.bfloat16) if x is None else x
  ids = jnp.zeros((6, 3), jnp.int32) if ids is None else ids
  options = {"num_experts": 8, "axis_name": "a", **options}
  return jax_deepgemm.ep_dispatch(x, ids, **options)


def combine(rows=None, dispatched=None, weights=None, **options):
  dispatched = dispatch(max_rows=9) if dispatched is None else dispatched
  rows = jnp.zeros((9, 24), jnp.bfloat16) if rows is None else rows
  weights = jnp.zeros((6, 3)) if weights is None else weights
  return jax_deepgemm.ep_combine(rows, dispatched, weights, **options)


I32, F32 = jnp.int32, jnp.float32
REFUSED = {
  "x of integers": (
    lambda: dispatch(jnp.zeros((6, 24), I32)),
    TypeError,
    "x: expected an array of bfloat16 or float32, got int32",
  ),
  "x of rank 3": (
    lambda: dispatch(jnp.zeros((1, 6, 24))),
    ValueError,
    "x: expected shape (t, d), got (1, 6, 24)",
  ),
  "ids of floats": (
    lambda: dispatch(ids=jnp.zeros((6, 3))),
    TypeError,
    "expert_ids: expected an array of integers, got float32",
  ),
  "ids in a list": (
    lambda: dispatch(ids=[[0]] * 6),
    TypeError,
    "expert_ids: expected an array of integers, got list",
  ),
  "ids of other tokens": (
    lambda: dispatch(ids=jnp.zeros((5, 3), I32)),
    ValueError,
    "expert_ids: expected shape (6, top_k) with top_k >= 1, got (5, 3)",
  ),
  "no choices": (
    lambda: dispatch(ids=jnp.zeros((6, 0), I32)),
    ValueError,
    "expert_ids: expected shape (6, top_k) with top_k >= 1, got (6, 0)",
  ),
  "too many choices": (
    lambda: dispatch(
      jax.ShapeDtypeStruct((2**27, 1), F32),
      jax.ShapeDtypeStruct((2**27, 4), I32),
    ),
    ValueError,
    "expert_ids: expected fewer than 2**31 choices on all ranks, got"
    " 2147483648",
  ),
  "experts that cannot be split": (
    lambda: dispatch(num_experts=6),
    ValueError,
    "num_experts: expected a multiple of 4, the size of axis 'a', above 0, got"
    " 6",
  ),
  "no experts": (
    lambda: dispatch(num_experts=0),
    ValueError,
    "num_experts: expected a multiple of 4, the size of axis 'a', above 0, got"
    " 0",
  ),
  "no such axis": (
    lambda: dispatch(axis_name="expert"),
    ValueError,
    "axis_name: expected a mesh axis of an enclosing jax.shard_map, got"
    " 'expert'",
  ),
  "negative room": (
    lambda: dispatch(max_rows=-1),
    ValueError,
    "max_rows: expected None or an int from 0 to 2**31 - 1, got -1",
  ),
  "room of the device": (
    lambda: dispatch(max_rows=2.0),
    ValueError,
    "max_rows: expected None or an int from 0 to 2**31 - 1, got 2.0",
  ),
  "another wire": (
    lambda: dispatch(wire_dtype=jnp.float8_e5m2),
    TypeError,
    "wire_dtype: expected float8_e4m3fn, bfloat16, float32, got float8_e5m2",
  ),
  "codes of no cast": (
    lambda: dispatch(wire_dtype=jnp.bfloat16, dequantize=False),
    ValueError,
    "dequantize: False needs wire_dtype float8_e4m3fn, got bfloat16",
  ),
  "rows of integers": (
    lambda: combine(jnp.zeros((9, 24), I32)),
    TypeError,
    "expert_output: expected an array of bfloat16 or float32, got int32",
  ),
  "rows of another dispatch": (
    lambda: combine(jnp.zeros((8, 24))),
    ValueError,
    "expert_output: expected shape (9, d), got (8, 24)",
  ),
  "no dispatch": (
    lambda: combine(dispatched=jnp.zeros((9, 24))),
    TypeError,
    "dispatched: expected what ep_dispatch returned, got",
  ),
  "weights of other tokens": (
    lambda: combine(weights=jnp.zeros((6, 2))),
    ValueError,
    "weights: expected shape (6, 3), got (6, 2)",
  ),
  "weights of integers": (
    lambda: combine(weights=jnp.zeros((6, 3), I32)),
    TypeError,
    "weights: expected an array of bfloat16 or float32, got int32",
  ),
  "another wire of gradients": (
    lambda: combine(gradient_wire_dtype=jnp.float16),
    TypeError,
    "gradient_wire_dtype: expected float8_e4m3fn, bfloat16, float32, got"
    " float16",
  ),
}


@pytest.mark.parametrize(
  ("f", "error", "message"), REFUSED.values(), ids=REFUSED
)
def test_bad_arguments_are_refused(f, error, message):
  with pytest.raises(error) as caught:
    inside(f)
  assert str(caught.value).startswith(message)


def test_it_is_refused_outside_of_shard_map():
  with pytest.raises(ValueError, match="axis of an enclosing"):
    dispatch()
