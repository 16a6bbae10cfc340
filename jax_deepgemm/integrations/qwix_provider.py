"""A qwix provider: products of a model in FP8 by qwix's rules."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.integrations.dot_hook import (
  MIN_SIZE,
  DotGeneral,
  has_dtype,
  is_default,
)
from jax_deepgemm.integrations.requirement import require
from jax_deepgemm.ragged_dot import fp8_ragged_dot

qwix = require("qwix", 'pip install "jax_deepgemm[qwix]"')

_QTYPES = ("weight_qtype", "act_qtype", "bwd_qtype")
# Other settings of rules, with the values that mean what is computed here.
_MEANT = {
  "tile_size": (None, 128),
  "act_static_scale": (None, False),
  "weight_calibration_method": ("absmax",),
  "act_calibration_method": (None, "absmax"),
  "bwd_calibration_method": ("absmax",),
  "bwd_stochastic_rounding": (None,),
  "disable_channelwise_axes": (False,),
  "additional_qt_config": (None, {}),
}


class Fp8Provider(qwix.QuantizationProvider):
  """Computes `jax.lax.dot_general` and `ragged_dot` of a model in FP8.

  For `qwix.quantize_model`. Where a rule with a weight_qtype matches, products
  are those of `fp8_dot_general` and `fp8_ragged_dot`, with the limits of
  `DotGeneral`; elsewhere JAX's. Einsums and convolutions stay as they are.

  Rules have one recipe: float8_e4m3fn for weight_qtype, act_qtype and, in a
  QtRule, bwd_qtype, calibrated by "absmax". bwd_weight_grad_tile_size and what
  concerns noise and static scales has no effect.

  Args:
    rules: `qwix.QuantizationRule`s, or `QtRule`s; one without weight_qtype
      leaves its modules as they are.
    residuals: what is kept for the backward pass, as in `fp8_dot_general`.
    **kwargs: of `qwix.QuantizationProvider`.

  Raises:
    ValueError: a rule asks for another recipe.
  """

  def __init__(
    self, rules: Sequence[Any], *, residuals: str = "fp8", **kwargs: Any
  ) -> None:
    for rule in rules:
      if rule.weight_qtype is not None:
        _check_rule(rule)
    self._dot_general = DotGeneral(residuals=residuals)
    super().__init__(rules, **kwargs)

  def dot_general(self, *args: Any, **kwargs: Any) -> jax.Array:
    """Returns `jax.lax.dot_general` of the arguments, in FP8 by the rules."""
    if self._matches("dot_general"):
      return self._dot_general(*args, **kwargs)
    return jax.lax.dot_general(*args, **kwargs)

  def ragged_dot(
    self,
    lhs: jax.Array,
    rhs: jax.Array,
    group_sizes: jax.Array,
    precision: Any = None,
    preferred_element_type: jax.typing.DTypeLike | None = None,
    **kwargs: Any,
  ) -> jax.Array:
    """Returns `jax.lax.ragged_dot` of the arguments, in FP8 by the rules."""
    arguments = (lhs, rhs, group_sizes, precision, preferred_element_type)
    in_fp8 = (
      self._matches("ragged_dot")
      and min(rhs.shape[-2:]) >= MIN_SIZE
      and is_default(precision)
      and has_dtype(lhs, rhs, preferred_element_type)
    )
    if in_fp8:
      residuals = self._dot_general.residuals
      return fp8_ragged_dot(*arguments, **kwargs, residuals=residuals)
    return jax.lax.ragged_dot(*arguments, **kwargs)

  def get_intercept_map(self) -> dict[str, Callable[..., Any]]:
    """Returns what qwix replaces while the model runs."""
    return super().get_intercept_map() | {
      "jax.lax.dot_general": self.dot_general,
      "jax.lax.ragged_dot": self.ragged_dot,
    }

  def _matches(self, op_name: str) -> bool:
    rule, _ = self._get_current_rule_and_op_id(op_name)
    return rule is not None and rule.weight_qtype is not None


def _check_rule(rule: Any) -> None:
  for name in _QTYPES:
    if hasattr(rule, name) and not _is_e4m3(getattr(rule, name)):
      raise ValueError(
        f"rules: expected {name} float8_e4m3fn, got {getattr(rule, name)!r}"
      )
  for name, meant in _MEANT.items():
    found = getattr(rule, name, meant[0])
    if found not in meant:
      raise ValueError(f"rules: expected {name} {meant[-1]!r}, got {found!r}")


def _is_e4m3(qtype: Any) -> bool:
  try:
    return jnp.dtype(qtype) == jnp.float8_e4m3fn
  except TypeError:  # A name of qwix's own, as "nf4".
    return False
