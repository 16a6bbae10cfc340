"""Launch descriptions as attributes of the custom call.

`ffi/` reads exactly these names and types. Nothing here depends on the
process: all processes of a job must lower byte-identical programs.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jax_deepgemm.primitives.kernel_call import (
  Buffer,
  KernelCall,
  Scalar,
  TensorMap,
)


def of_call(
  kernel_calls: Sequence[KernelCall],
  images: Sequence[bytes | None],
  arenas: Sequence[int] = (),
) -> dict[str, Any]:
  """Returns {num_launches, launch0, launch1, ...}, and {arenas} if any.

  Args:
    kernel_calls: the launches in order.
    images: for each the cubin to embed, or None to send the recipe alone.
    arenas: handles of the buffers behind operands and results.
  """
  launches = {
    f"launch{i}": _of_launch(kernel, image)
    for i, (kernel, image) in enumerate(zip(kernel_calls, images, strict=True))
  }
  call = {"num_launches": np.int64(len(launches)), **launches}
  return call | {"arenas": _i64s(arenas)} if arenas else call


def _of_launch(kernel: KernelCall, image: bytes | None) -> dict[str, Any]:
  launch = {
    **dataclasses.asdict(kernel.recipe),
    "grid": _i64s(kernel.grid),
    "cluster": _i64s(kernel.cluster),
    "threads": np.int64(kernel.threads),
    "smem_bytes": np.int64(kernel.smem_bytes),
    "pdl": bool(kernel.pdl),
    # Dictionaries are sorted by key: two digits keep ten and more in order.
    "params": {
      f"p{i:02d}": _of_param(param) for i, param in enumerate(kernel.params)
    },
  }
  if image is not None:
    launch["cubin"] = image
  return launch


def _of_param(param: Buffer | Scalar | TensorMap) -> dict[str, Any]:
  match param:
    case Buffer():
      return {"kind": "buffer", **_place(param)}
    case Scalar():
      number = np.float32 if param.kind == "f32" else np.int64
      return {"kind": param.kind, "value": number(param.value)}
    case TensorMap():
      return {
        "kind": "tensor_map",
        **_place(param),
        "dtype": param.dtype,
        "dims": _i64s(param.dims),
        "strides": _i64s(param.strides),
        "box": _i64s(param.box),
        "swizzle": np.int64(param.swizzle),
        "l2_promotion": np.int64(param.l2_promotion),
      }


def _place(param: Buffer | TensorMap) -> dict[str, Any]:
  index = {"index": np.int64(param.index)}
  return index | {"offset": np.int64(param.offset)} if param.offset else index


def _i64s(values: Sequence[int]) -> np.ndarray:
  return np.asarray(values, dtype=np.int64)
