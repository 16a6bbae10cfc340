"""A stand-in for the Hopper kernel that lowers to a launch of fixed shape."""

import jax

from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.primitives import launch

RECIPE = Recipe("stub", "// source", "sm_90a", "-lineinfo", "0123")


def run(
  a,
  sfa,
  b,
  sfb,
  c,
  *,
  out_dtype,
  recipe_a,
  recipe_b,
  options,
  device,
  memory=None,
):
  """Returns what `sm90_fp8_gemm.run` would, of a kernel that does not exist."""
  del memory
  if recipe_a != (1, 128):
    raise NotImplementedError(f"no kernel for recipe_a={recipe_a}")
  groups, m, _ = a.shape
  n = b.shape[1]
  operands = [a, sfa, b, sfb] + ([] if c is None else [c])
  call = launch.KernelCall(
    recipe=RECIPE,
    grid=(options.num_sms or device.num_sms, 1, 1),
    cluster=(2, 1, 1),
    threads=384,
    smem_bytes=1000,
    pdl=options.pdl,
    params=(launch.Buffer(len(operands)), launch.Scalar(m)),
    embed_cubin=options.embed_cubin,
  )
  result = jax.ShapeDtypeStruct((groups, m, n), out_dtype)
  aliases = {} if c is None else {4: 0}
  return launch.call((call,), operands, [result], aliases)[0]
