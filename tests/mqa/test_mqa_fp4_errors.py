"""What fp8_fp4_mqa_logits says of wrong arguments."""

import numpy as np
import pytest

import jax_deepgemm as dg
from tests import mqa_fp4_data

Q, Q_SCALES, KEYS, SCALES, WEIGHTS, STARTS, ENDS = mqa_fp4_data.operands(
  3, 40, 8, 64, [(0, 40)]
)
RIGHT = {
  "q": (Q, Q_SCALES),
  "kv": (KEYS, SCALES),
  "weights": WEIGHTS,
  "cu_seq_len_k_start": STARTS,
  "cu_seq_len_k_end": ENDS,
}
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
    r"values of q must have shape \[s, h, d / 2\], got \(8, 32\)",
  ),
  "heads": (
    {"q": (Q[:, :5], Q_SCALES)},
    ValueError,
    "h, the heads of q, must be one of 8, 16, 32, 64, got 5",
  ),
  "head dimension": (
    {"q": (Q[:, :, :8], Q_SCALES)},
    ValueError,
    "d, the last dimension of q, must be one of 32, 64, 128, got 16",
  ),
  "packed scales": (
    {"q": (Q, Q_SCALES[:, :5])},
    ValueError,
    r"packed scales of q must have shape \[s, h\] = \(3, 8\), got \(3, 5\)",
  ),
  "floats for other blocks": (
    {"kv": (KEYS, np.ones((40, 1), np.float32))},
    ValueError,
    r"float32 scales of kv must have shape \(40, 2\), one for 32 codes, got",
  ),
  "dtype of scales": (
    {"kv": (KEYS, SCALES.astype(np.int16))},
    TypeError,
    "scales of kv must be int32, four exponents each, or float32 powers of two",
  ),
  "kv alone": (
    {"kv": KEYS},
    TypeError,
    r"kv must be a pair \(values, scales\) beside q in FP4, got ndarray",
  ),
  "head dimension of kv": (
    {"kv": (KEYS[:, :16], SCALES)},
    ValueError,
    r"kv must have shape \[k, d / 2\] with d / 2 = 32 as in q, got \(40, 16\)",
  ),
  "weights": (
    {"weights": WEIGHTS[:2]},
    ValueError,
    r"weights must have shape \[s, h\] = \(3, 8\), got \(2, 8\)",
  ),
}


@pytest.mark.parametrize(
  ("wrong", "error", "message"), CASES.values(), ids=CASES
)
def test_a_wrong_argument_is_named(wrong, error, message):
  with pytest.raises(error, match=message):
    dg.fp8_fp4_mqa_logits(**(RIGHT | wrong))


def test_a_kernel_cannot_be_insisted_on_without_a_gpu():
  with (
    dg.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="fp8_fp4_mqa_logits has no kern"),
  ):
    dg.fp8_fp4_mqa_logits(**RIGHT)
