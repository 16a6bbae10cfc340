"""The kernels in a lowered program, read back from its custom calls."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.interpreters import mlir

import jax_deepgemm
from jax_deepgemm.jit import Recipe
from jax_deepgemm.primitives.launch import TARGET_NAME

_FIELD = re.compile(r"\.(\w+) = ([\w.+-]+)")


def lowered_for(
  fn: Callable[..., Any], *args: Any, device: str | None = None
) -> jax.stages.Lowered:
  """Returns fn(*args) lowered for a CUDA GPU; no GPU is needed.

  Args:
    fn: jitted.
    *args: arrays or `jax.ShapeDtypeStruct`s.
    device: name of the GPU, or None for that of this process.
  """
  with jax_deepgemm.options(device=device, implementation="kernel"):
    return fn.trace(*args).lower(lowering_platforms=("cuda",))


@contextlib.contextmanager
def chosen(kernel: Any, config: Any) -> Iterator[None]:
  """Returns a context in which a kernel's module chooses one configuration."""
  choose = kernel.choose
  kernel.choose = lambda *args, **kwargs: config
  try:
    yield
  finally:
    kernel.choose = choose


def launches(lowered: jax.stages.Lowered) -> list[dict[str, Any]]:
  """Returns the attributes of each launch in a program, in order."""
  found = []

  def visit(operation: Any) -> mlir.ir.WalkResult:
    attributes = operation.attributes
    is_call = operation.name == "stablehlo.custom_call"
    if is_call and attributes["call_target_name"].value == TARGET_NAME:
      call = _to_python(attributes["mhlo.backend_config"])
      found.extend(call[f"launch{i}"] for i in range(call["num_launches"]))
    return mlir.ir.WalkResult.ADVANCE

  lowered.compiler_ir("stablehlo").operation.walk(visit)
  return found


def recipe_of(launch: dict[str, Any]) -> Recipe:
  """Returns what compiles the kernel of a launch."""
  return Recipe(
    launch["kernel"],
    launch["source"],
    launch["arch"],
    launch["flags"],
    launch["fingerprint"],
  )


def config_of(launch: dict[str, Any]) -> dict[str, Any]:
  """Returns how the kernel was chosen: launch sizes and the config's fields."""
  sizes = {name: launch[name] for name in ("kernel", "grid", "cluster")}
  sizes |= {name: launch[name] for name in ("threads", "smem_bytes", "pdl")}
  fields = _FIELD.findall(launch["source"])
  return sizes | {name: _number(text) for name, text in fields}


def first_config(
  fn: Callable[..., Any], *args: Any, kernel: str = ""
) -> dict[str, Any] | None:
  """Returns `config_of` the first kernel in fn(*args), or None without one.

  Args:
    fn: jitted.
    *args: arrays or `jax.ShapeDtypeStruct`s.
    kernel: what its name begins with.
  """
  for launch in launches(lowered_for(fn, *args)):
    if launch["kernel"].startswith(kernel):
      return config_of(launch)
  return None


def only_config(fn: Callable[..., Any], *args: Any) -> dict[str, Any]:
  """Returns `config_of` the one kernel in fn(*args) on this process's GPU."""
  (launch,) = launches(lowered_for(fn, *args))
  return config_of(launch)


def _number(text: str) -> int | bool | str:
  if text in ("true", "false"):
    return text == "true"
  return int(text) if text.isdecimal() else text


def _to_python(attribute: Any) -> Any:
  ir = mlir.ir
  if isinstance(attribute, ir.DictAttr):
    return {item.name: _to_python(item.attr) for item in attribute}
  if isinstance(attribute, ir.DenseIntElementsAttr):
    return list(attribute)
  return attribute.value
