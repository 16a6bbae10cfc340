"""Launches of the package's kernels on the CPU, from the launcher's words."""

import ctypes
import dataclasses
import os
import pathlib
import struct
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.primitives.kernel_call import (
  Buffer,
  KernelCall,
  Scalar,
  TensorMap,
)
from tests.emulator.toolchain import Toolchain, symbol, with_lines

_MESSAGE_BYTES = 1 << 16
# Element in runtime/element.h.
_INTEGERS = ("u8", "u16", "u32", "i32", "u64", "i64")
_ELEMENTS = (*_INTEGERS, "f16", "f32", "f64", "bf16")
_SCALAR_FORMATS = {"i32": "<i", "i64": "<q", "f32": "<f"}


class EmulatorError(Exception):
  """What a kernel did wrong, by which warp, and where."""


class _Buffer(ctypes.Structure):
  _fields_ = (
    ("data", ctypes.c_void_p),
    ("bytes", ctypes.c_uint64),
    ("device", ctypes.c_int32),
  )


class _Pointer(ctypes.Structure):
  _fields_ = (
    ("buffer", ctypes.c_uint32),
    ("target", ctypes.c_uint32),
    ("offset", ctypes.c_uint64),
  )


class _Param(ctypes.Structure):
  _fields_ = (
    ("kind", ctypes.c_int32),
    ("index", ctypes.c_int32),
    ("value", ctypes.c_uint64),
    ("value_bytes", ctypes.c_uint64),
    ("rank", ctypes.c_int32),
    ("element", ctypes.c_int32),
    ("dims", ctypes.c_uint64 * 5),
    ("strides", ctypes.c_uint64 * 4),
    ("box", ctypes.c_uint32 * 5),
    ("swizzle", ctypes.c_int32),
  )


class _Trace(ctypes.Structure):
  _fields_ = (
    ("path", ctypes.c_char_p),
    ("device", ctypes.c_uint32),
    ("cta", ctypes.c_uint32),
    ("thread", ctypes.c_uint32),
  )


class _Launch(ctypes.Structure):
  _fields_ = (
    ("grid", ctypes.c_uint32 * 3),
    ("cluster", ctypes.c_uint32),
    ("threads", ctypes.c_uint32),
    ("smem_bytes", ctypes.c_uint32),
    ("num_params", ctypes.c_uint32),
    ("device", ctypes.c_uint32),
    ("params", ctypes.POINTER(_Param)),
    ("roles", ctypes.POINTER(ctypes.c_char_p)),
    ("invoke", ctypes.c_void_p),
    ("parameter_bytes", ctypes.c_void_p),
  )


class _System(ctypes.Structure):
  _fields_ = (
    ("num_devices", ctypes.c_uint32),
    ("num_launches", ctypes.c_uint32),
    ("num_buffers", ctypes.c_uint32),
    ("num_pointers", ctypes.c_uint32),
    ("launches", ctypes.POINTER(_Launch)),
    ("buffers", ctypes.POINTER(_Buffer)),
    ("pointers", ctypes.POINTER(_Pointer)),
    ("trace", ctypes.POINTER(_Trace)),
  )


@dataclasses.dataclass(frozen=True)
class Thread:
  """One thread of a launch."""

  cta: int
  warp: int
  lane: int = 0
  rank: int = 0


@dataclasses.dataclass(frozen=True)
class System:
  """Devices that run at once.

  Attributes:
    launches: of each device, one after the other.
    buffers: of all of them; launches count through all.
    owners: of each buffer, the device that alone may touch it, or None.
    pointers: (buffer, byte, other buffer): where the address of another lies.
  """

  launches: Sequence[Sequence[KernelCall]]
  buffers: Sequence[np.ndarray]
  owners: Sequence[int | None]
  pointers: Sequence[tuple[int, int, int]] = ()


class Emulator:
  """Runs kernels.

  Attributes:
    toolchain: what compiles them.
    changed: folder of headers that stand in for those of the same path.
    roles: of a launch, what each warp does, for messages.
    traced: whose operations `trace` lists after a run; of several launches,
      those of the last.
    trace: a line for each of them.
  """

  def __init__(
    self,
    toolchain: Toolchain,
    changed: pathlib.Path | None = None,
    roles: Callable[[KernelCall], Sequence[str]] | None = None,
  ):
    self.toolchain = toolchain
    self.changed = changed
    self.roles = roles
    self.traced: Thread | None = None
    self.trace: list[str] = []

  def run(
    self, kernel: KernelCall, buffers: Sequence[np.ndarray], seed: int
  ) -> None:
    """Launches `kernel`; it reads and writes `buffers` in place.

    Raises:
      EmulatorError: the kernel does what it must not.
    """
    self.run_system(System([[kernel]], buffers, [None] * len(buffers)), seed)

  def run_system(self, system: System, seed: int) -> None:
    """Runs all launches, those of different devices at once.

    Raises:
      EmulatorError: a kernel does what it must not.
    """
    calls = [call for calls in system.launches for call in calls]
    recipes = [call.recipe for call in calls]
    library, path = self.toolchain.library(recipes, self.changed)
    trace = self.toolchain.folder / f"trace-{os.getpid()}.txt"
    described = self._describe(system, library, str(trace))
    message = ctypes.create_string_buffer(_MESSAGE_BYTES)
    failed = library.jdg_emulate(
      ctypes.byref(described),
      ctypes.c_uint64(seed),
      message,
      ctypes.c_size_t(_MESSAGE_BYTES),
    )
    if self.traced is not None and trace.exists():
      self.trace = with_lines(trace.read_text(), path).splitlines()
      trace.unlink()
    if failed:
      text = with_lines(message.value.decode(), path)
      raise EmulatorError(f"{recipes[0].kernel}, seed {seed}: {text}")

  def _describe(
    self, system: System, library: ctypes.CDLL, trace: str
  ) -> _System:
    launches = [
      _launch(call, device, library, self.roles and self.roles(call))
      for device, calls in enumerate(system.launches)
      for call in calls
    ]
    buffers = [
      _Buffer(buffer.ctypes.data, buffer.nbytes, -1 if owner is None else owner)
      for buffer, owner in zip(system.buffers, system.owners, strict=True)
    ]
    pointers = [_Pointer(i, target, at) for i, at, target in system.pointers]
    described = _System(
      num_devices=len(system.launches),
      num_launches=len(launches),
      num_buffers=len(buffers),
      num_pointers=len(pointers),
      launches=(_Launch * len(launches))(*launches),
      buffers=(_Buffer * len(buffers))(*buffers),
      pointers=(_Pointer * len(pointers))(*pointers),
    )
    if self.traced is not None:
      thread = self.traced.warp * 32 + self.traced.lane
      described.trace = ctypes.pointer(
        _Trace(trace.encode(), self.traced.rank, self.traced.cta, thread)
      )
    return described

  def launcher(self, seed: int) -> Callable[..., list[jax.Array]]:
    """Returns a stand-in for `launch.call` on concrete arrays."""

    def call(
      kernel_calls: tuple[KernelCall, ...],
      operands: Sequence[jax.Array],
      results: Sequence[jax.ShapeDtypeStruct],
      aliases: Mapping[int, int] | None = None,
    ) -> list[jax.Array]:
      buffers = [np.array(x, order="C") for x in operands]
      by_result = {
        result: operand for operand, result in (aliases or {}).items()
      }
      for i, result in enumerate(results):
        if i in by_result:
          buffers.append(buffers[by_result[i]])
        else:
          poison = np.full(result.size * result.dtype.itemsize, 0xFF, np.uint8)
          buffers.append(poison.view(result.dtype).reshape(result.shape))
      for kernel in kernel_calls:
        self.run(kernel, buffers, seed)
      return [jnp.asarray(buffer) for buffer in buffers[len(operands) :]]

    return call


def _launch(
  kernel: KernelCall,
  device: int,
  library: ctypes.CDLL,
  roles: Sequence[str] | None,
) -> _Launch:
  if kernel.cluster[1:] != (1, 1):
    raise NotImplementedError(f"clusters lie along x, got {kernel.cluster}")
  params = (_Param * len(kernel.params))(*map(_param, kernel.params))
  names = None
  if roles is not None:
    names = (ctypes.c_char_p * len(roles))(*[role.encode() for role in roles])
  name = symbol(kernel.recipe)
  return _Launch(
    grid=kernel.grid,
    cluster=kernel.cluster[0],
    threads=kernel.threads,
    smem_bytes=kernel.smem_bytes,
    num_params=len(params),
    device=device,
    params=params,
    roles=names,
    invoke=_address(library, f"jdg_invoke_{name}"),
    parameter_bytes=_address(library, f"jdg_parameter_bytes_{name}"),
  )


def _address(library: ctypes.CDLL, name: str) -> int | None:
  return ctypes.cast(getattr(library, name), ctypes.c_void_p).value


def _param(param: Buffer | Scalar | TensorMap) -> _Param:
  match param:
    case Buffer():
      return _Param(kind=0, index=param.index, value=param.offset)
    case Scalar():
      number = struct.pack(_SCALAR_FORMATS[param.kind], param.value)
      value = int.from_bytes(number, "little")
      return _Param(kind=1, value=value, value_bytes=len(number))
    case TensorMap():
      return _Param(
        kind=2,
        index=param.index,
        value=param.offset,
        rank=len(param.dims),
        element=_ELEMENTS.index(param.dtype),
        dims=param.dims,
        strides=param.strides,
        box=param.box,
        swizzle=param.swizzle,
      )
