"""Flax: FP8 in dense layers, and layers of routed experts.

Needs `pip install "jax_deepgemm[flax]"`. See docs/flax.md.
"""

from jax_deepgemm.integrations.dot_hook import DotGeneral as DotGeneral
from jax_deepgemm.integrations.dot_hook import dot_general as dot_general
from jax_deepgemm.integrations.flax_linen import (
  LinenRoutedExperts as LinenRoutedExperts,
)
from jax_deepgemm.integrations.flax_nnx import (
  NnxRoutedExperts as NnxRoutedExperts,
)
