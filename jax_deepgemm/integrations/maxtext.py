"""MaxText: a quantisation of its dense layers, and its grouped GEMM.

MaxText and Flax are imported when `quantization` is called. See
docs/maxtext.md.
"""

from jax_deepgemm.integrations.maxtext_gmm import gmm as gmm
from jax_deepgemm.integrations.maxtext_quantization import (
  quantization as quantization,
)
