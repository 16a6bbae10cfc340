"""What fp8_mqa_logits says of wrong arguments."""

import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests import mqa_data

Q, KEYS, SCALES, WEIGHTS, STARTS, ENDS = mqa_data.operands(
  3, 40, 8, 32, [(0, 40)]
)
RIGHT = {
  "q": Q,
  "kv": (KEYS, SCALES),
  "weights": WEIGHTS,
  "cu_seq_len_k_start": STARTS,
  "cu_seq_len_k_end": ENDS,
}
CASES = {
  "q of another dtype": (
    {"q": Q.astype(np.float16)},
    TypeError,
    "q must be float8_e4m3fn, or plain bfloat16 or float32, got float16",
  ),
  "q of another rank": (
    {"q": Q[0]},
    ValueError,
    r"q must have shape \[s, h, d\], got \(8, 32\)",
  ),
  "heads": (
    {"q": Q[:, :5]},
    ValueError,
    "h, the heads of q, must be one of 8, 16, 32, 64, got 5",
  ),
  "head dimension": (
    {"q": Q[:, :, :16]},
    ValueError,
    "d, the last dimension of q, must be one of 32, 64, 128, got 16",
  ),
  "codes alone": (
    {"kv": KEYS},
    TypeError,
    "kv of float8_e4m3fn needs its scales: pass",
  ),
  "kv of another dtype": (
    {"kv": KEYS.astype(np.float16)},
    TypeError,
    "kv must be a pair .* got float16",
  ),
  "values of kv": (
    {"kv": (SCALES, SCALES)},
    TypeError,
    "values of kv must be float8_e4m3fn, got float32",
  ),
  "head dimension of kv": (
    {"kv": (KEYS[:, :16], SCALES)},
    ValueError,
    r"kv must have shape \[k, d\] with d = 32 as in q, got \(40, 16\)",
  ),
  "dtype of scales": (
    {"kv": (KEYS, SCALES.astype(np.float16))},
    TypeError,
    "scales of kv must be float32, got float16",
  ),
  "number of scales": (
    {"kv": (KEYS, SCALES[:, None])},
    ValueError,
    r"scales of kv must have shape \[k\] = \(40,\), got \(40, 1\)",
  ),
  "dtype of weights": (
    {"weights": WEIGHTS.astype(jnp.bfloat16)},
    TypeError,
    "weights must be float32, got bfloat16",
  ),
  "shape of weights": (
    {"weights": WEIGHTS[:2]},
    ValueError,
    r"weights must have shape \[s, h\] = \(3, 8\), got \(2, 8\)",
  ),
  "a list of starts": (
    {"cu_seq_len_k_start": [0, 0, 0]},
    TypeError,
    "cu_seq_len_k_start must be an int32 array on the device, got list",
  ),
  "too few ends": (
    {"cu_seq_len_k_end": ENDS[:2]},
    ValueError,
    r"cu_seq_len_k_end must have shape \[s\] = \(3,\), got \(2,\)",
  ),
  "a flag": (
    {"clean_logits": 1},
    TypeError,
    "clean_logits must be a bool, got 1",
  ),
  "a size of another type": (
    {"max_seqlen_k": 1.5},
    TypeError,
    "max_seqlen_k must be an integer, got 1.5",
  ),
  "a negative size": (
    {"max_seqlen_k": -1},
    ValueError,
    "max_seqlen_k must be 0 to 2147483647, got -1",
  ),
  "dtype of logits": (
    {"logits_dtype": jnp.float16},
    TypeError,
    "logits_dtype must be float32 or bfloat16, got float16",
  ),
}


@pytest.mark.parametrize(
  ("wrong", "error", "message"), CASES.values(), ids=CASES
)
def test_a_wrong_argument_is_named(wrong, error, message):
  with pytest.raises(error, match=message):
    dg.fp8_mqa_logits(**(RIGHT | wrong))


def test_a_kernel_cannot_be_insisted_on_without_a_gpu():
  with (
    dg.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="fp8_mqa_logits has no kernel"),
  ):
    dg.fp8_mqa_logits(**RIGHT)
