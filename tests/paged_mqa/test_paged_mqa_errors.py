"""What the functions of paged MQA logits say of wrong arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests import paged_mqa_data

GIVEN = paged_mqa_data.operands([[9], [40]], 8, 32, 32, 2)
NAMES = (
  "q",
  "kv_cache",
  "weights",
  "context_lens",
  "block_table",
  "schedule_meta",
)
RIGHT = dict(zip(NAMES, GIVEN.arguments(), strict=False))
RIGHT["max_context_len"] = 64
CASES = {
  "q of another dtype": (
    {"q": GIVEN.q.astype(np.float32)},
    TypeError,
    "q of paged logits must be float8_e4m3fn, got float32 of shape",
  ),
  "q of another rank": (
    {"q": GIVEN.q[0]},
    ValueError,
    r"q must have shape \[b, next_n, h, d\], got \(1, 8, 32\)",
  ),
  "heads": (
    {"q": GIVEN.q[:, :, :5]},
    ValueError,
    "h, the heads of q, must be one of 8, 16, 32, 64, got 5",
  ),
  "head dimension": (
    {"q": GIVEN.q[..., :16]},
    ValueError,
    "d, the last dimension of q, must be one of 32, 64, 128, got 16",
  ),
  "dtype of the cache": (
    {"kv_cache": GIVEN.cache.view(np.int8)},
    TypeError,
    "kv_cache must be uint8, got int8",
  ),
  "shape of the cache": (
    {"kv_cache": GIVEN.cache[:, :16]},
    ValueError,
    r"kv_cache must have shape \[num_blocks, block_kv, 1, d \+ 4\] with block",
  ),
  "dtype of weights": (
    {"weights": GIVEN.weights.astype(jnp.bfloat16)},
    TypeError,
    "weights must be float32, got bfloat16",
  ),
  "shape of weights": (
    {"weights": GIVEN.weights[:1]},
    ValueError,
    r"weights must have shape \[b \* next_n, h\] = \(2, 8\), got \(1, 8\)",
  ),
  "lengths of one dimension": (
    {"context_lens": GIVEN.lens[:, 0]},
    ValueError,
    r"context_lens must have shape \[b, next_n\] = \[2, 1\], got \(2,\)",
  ),
  "a list of lengths": (
    {"context_lens": [[9], [40]]},
    TypeError,
    "context_lens must be an int32 array on the device, got list",
  ),
  "table of another batch": (
    {"block_table": GIVEN.table[:1]},
    ValueError,
    r"block_table must have shape \[b, max_blocks\] = \[2, any\], got \(1, 2\)",
  ),
  "schedule of another form": (
    {"schedule_meta": np.zeros((133, 3), np.int32)},
    ValueError,
    r"schedule_meta must have shape \[num_sms \+ 1, 2\] = \[any, 2\], got",
  ),
  "a width of another type": (
    {"max_context_len": 1.5},
    TypeError,
    "max_context_len must be an integer, got 1.5",
  ),
  "a negative width": (
    {"max_context_len": -1},
    ValueError,
    "max_context_len must be 0 to 2147483647, got -1",
  ),
  "a flag": (
    {"clean_logits": 1},
    TypeError,
    "clean_logits must be a bool, got 1",
  ),
  "dtype of logits": (
    {"logits_dtype": jnp.float16},
    TypeError,
    "logits_dtype must be float32 or bfloat16, got float16",
  ),
  "indices of another batch": (
    {"indices": np.zeros(3, np.int32)},
    ValueError,
    r"indices must have shape \[b\] = \[2\], got \(3,\)",
  ),
  "indices of several tokens": (
    {
      "indices": np.zeros(1, np.int32),
      "q": GIVEN.q.reshape(1, 2, 8, 32),
      "context_lens": GIVEN.lens.reshape(1, 2),
      "block_table": GIVEN.table[:1],
    },
    ValueError,
    "indices say the sequence of each row: next_n must be 1, got 2",
  ),
}


@pytest.mark.parametrize(
  ("wrong", "error", "message"), CASES.values(), ids=CASES
)
def test_a_wrong_argument_is_named(wrong, error, message):
  with pytest.raises(error, match=message):
    dg.fp8_paged_mqa_logits(**(RIGHT | wrong))


@pytest.mark.parametrize(
  ("wrong", "error", "message"),
  [
    ((GIVEN.lens[0], 32), ValueError, r"context_lens must have shape \[b, "),
    ((GIVEN.lens, 16), ValueError, "block_kv must be 32 or 64, got 16"),
    ((GIVEN.lens, 32, 0), ValueError, "num_sms must be at least 1, got 0"),
    (
      (GIVEN.lens, 32, 1.5),
      TypeError,
      "num_sms must be an integer or None, got 1.5",
    ),
  ],
)
def test_a_wrong_argument_of_the_schedule_is_named(wrong, error, message):
  with pytest.raises(error, match=message):
    dg.get_paged_mqa_logits_metadata(*wrong)


def test_there_are_no_derivatives():
  def loss(q, weights):
    changed = RIGHT | {"q": q, "weights": weights}
    return dg.fp8_paged_mqa_logits(**changed).sum()

  arrays = tuple(map(jnp.asarray, (GIVEN.q, GIVEN.weights)))
  with pytest.raises(TypeError, match=r"^q is quantised and has no grad"):
    jax.grad(loss)(*arrays)
  with pytest.raises(NotImplementedError, match="has no derivatives: gather"):
    jax.grad(loss, 1)(*arrays)


def test_a_kernel_cannot_be_insisted_on_without_a_gpu():
  with (
    dg.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="fp8_paged_mqa_logits has no ker"),
  ):
    dg.fp8_paged_mqa_logits(**RIGHT)
