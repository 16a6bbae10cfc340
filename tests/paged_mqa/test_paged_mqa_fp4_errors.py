"""What fp8_fp4_paged_mqa_logits says of wrong arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests import paged_mqa_fp4_data
from tests.paged_mqa.test_paged_mqa_errors import NAMES

GIVEN = paged_mqa_fp4_data.operands([[9], [40]], 8, 64, 32, 2)
RIGHT = dict(zip(NAMES, GIVEN.arguments(), strict=False))
RIGHT["max_context_len"] = 64
Q, Q_SCALES = RIGHT["q"]
CASES = {
  "q alone": (
    {"q": Q},
    TypeError,
    r"q must be a pair \(values, scales\), scales None for FP8, got ndarray",
  ),
  "q of another dtype": (
    {"q": (Q.astype(np.int16), Q_SCALES)},
    TypeError,
    "values of q must be int8, two FP4 codes each, got int16",
  ),
  "q of another rank": (
    {"q": (Q[0], Q_SCALES)},
    ValueError,
    r"values of q must have shape \[b, next_n, h, d / 2\], got \(1, 8, 32\)",
  ),
  "heads": (
    {"q": (Q[:, :, :5], Q_SCALES)},
    ValueError,
    "h, the heads of q, must be one of 8, 16, 32, 64, got 5",
  ),
  "packed scales": (
    {"q": (Q, Q_SCALES[:, :, :5])},
    ValueError,
    r"packed scales of q must have shape \[b, next_n, h\] = \(2, 1, 8\), got",
  ),
  "floats for other blocks": (
    {"q": (Q, np.ones((2, 1, 8, 1), np.float32))},
    ValueError,
    r"float32 scales of q must have shape \(2, 1, 8, 2\), one for 32 codes",
  ),
  "cache of FP8": (
    {"kv_cache": np.zeros((7, 32, 1, 68), np.uint8)},
    ValueError,
    r"kv_cache must have shape \[num_blocks, block_kv, 1, d / 2 \+ 4\] with"
    r" block_kv 32 or 64 and d / 2 = 32 as in q, got \(7, 32, 1, 68\)",
  ),
  "weights": (
    {"weights": GIVEN.weights[:1]},
    ValueError,
    r"weights must have shape \[b \* next_n, h\] = \(2, 8\), got \(1, 8\)",
  ),
}


@pytest.mark.parametrize(
  ("wrong", "error", "message"), CASES.values(), ids=CASES
)
def test_a_wrong_argument_is_named(wrong, error, message):
  with pytest.raises(error, match=message):
    dg.fp8_fp4_paged_mqa_logits(**(RIGHT | wrong))


def test_there_are_no_derivatives():
  def loss(weights):
    return dg.fp8_fp4_paged_mqa_logits(**(RIGHT | {"weights": weights})).sum()

  with pytest.raises(NotImplementedError, match="has no derivatives: gather"):
    jax.grad(loss)(jnp.asarray(GIVEN.weights))


def test_a_kernel_cannot_be_insisted_on_without_a_gpu():
  with (
    dg.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="fp8_fp4_paged_mqa_logits has no"),
  ):
    dg.fp8_fp4_paged_mqa_logits(**RIGHT)
