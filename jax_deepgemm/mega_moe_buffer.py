"""Symmetric buffers: what ranks of a fused mixture of experts share."""

import dataclasses
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from jax.sharding import Mesh

from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.mega_moe_buffer_arguments import (
  check_backend,
  checked_arena,
  checked_axes,
  checked_timeout,
)
from jax_deepgemm.primitives import launcher
from jax_deepgemm.symmetric_memory import handles
from jax_deepgemm.symmetric_memory.rank_groups import RankGroups

if TYPE_CHECKING:
  from jax_deepgemm.symmetric_memory.allocation import SymmetricMemory


@dataclasses.dataclass(frozen=True, eq=False)
class SymmBuffer:
  """Memory on every device of a mesh that `fp8_mega_moe` works in.

  Hashable, and equal to itself alone: programs are compiled for one buffer.
  A context manager that destroys it.

  Attributes:
    arena: sizes of the layer, and where what lies in the memory.
    mesh: devices that have one.
    axis_name: mesh axis, or axes, that the experts are split over.
    activation: "swiglu".
    handle: the number by which programs name the memory.
    backend: what made the memory, None on CPUs, where there is none.
  """

  arena: MegaMoeArena
  mesh: Mesh
  axis_name: str | tuple[str, ...]
  activation: str
  handle: int
  backend: str | None
  _memory: "SymmetricMemory | None" = dataclasses.field(repr=False)
  _destroyed: threading.Event = dataclasses.field(
    repr=False, default_factory=threading.Event
  )

  @property
  def num_bytes(self) -> int:
    """Bytes on each device; on CPUs, those that a GPU would give."""
    return self.arena.num_bytes

  @property
  def is_destroyed(self) -> bool:
    """Whether the memory is gone."""
    return self._destroyed.is_set()

  def check_usable(self) -> None:
    """Returns nothing.

    Raises:
      ValueError: the buffer was destroyed.
    """
    if self.is_destroyed:
      raise ValueError(
        f"sym_buffer must not be destroyed; buffer {self.handle} was: make"
        " another with get_symm_buffer_for_mega_moe"
      )

  def check_status(self) -> None:
    """Returns nothing if no rank of this host has given up.

    It reads host memory and waits for nothing: block on a result first. The
    next call would raise the same.

    Raises:
      RuntimeError: a rank waited in vain; says which, in which call and for
        what.
    """
    fault = self._memory.fault() if self._memory is not None else ""
    if fault:
      raise RuntimeError(f"{fault}; reset() makes the buffer usable again")

  def reset(self) -> None:
    """Makes the buffer as new after a fault; every process calls it.

    Waits for all that runs on the mesh's devices.

    Raises:
      ValueError: the buffer was destroyed.
      TimeoutError: another process did not come.
    """
    self.check_usable()
    if self._memory is not None:
      self._memory.reset()

  def destroy(self) -> None:
    """Frees the memory; every process calls it. A second call does nothing.

    Waits for all that runs on the mesh's devices: memory of a device that
    waits for another must not be freed. Without this it is freed at exit.

    Raises:
      TimeoutError: another process did not come within 20 s. The memory stays
        until this one ends, since devices of that may still write to it.
    """
    self._destroyed.set()
    if self._memory is not None:
      self._memory.release()

  def __enter__(self) -> "SymmBuffer":
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.destroy()


def get_symm_buffer_for_mega_moe(
  mesh: Mesh,
  axis_name: str | tuple[str, ...],
  num_experts: int,
  num_max_tokens_per_rank: int,
  num_topk: int,
  hidden: int,
  intermediate_hidden: int,
  *,
  mma_type: str = "fp8xfp8",
  activation: str = "swiglu",
  num_shared_experts: int = 0,
  backend: str | None = None,
  timeout_s: float = 60.0,
) -> SymmBuffer:
  """Returns a buffer for a mixture of experts that is split over a mesh axis.

  Call it outside `jit`, in every process that has devices of the mesh, in the
  same order and with the same arguments. On GPUs it allocates, beside XLA's
  memory, `num_bytes` on each device, enough if all tokens go to one rank; on
  CPUs nothing.

  Args:
    mesh: the devices. Each line of devices along the axis is a group whose
      members reach each other's memory.
    axis_name: the mesh axis, or axes, that experts are split over.
    num_experts: experts of a group, a multiple of the axis's size.
    num_max_tokens_per_rank: the most tokens that a device passes to a call.
    num_topk: experts that a token chooses.
    hidden: elements of a token, a multiple of 128.
    intermediate_hidden: elements between the two layers, a multiple of 128.
    mma_type: "fp8xfp8", "fp8xfp4" or "bf16xbf16": tokens, in the form in which
      they travel, by weights.
    activation: "swiglu".
    num_shared_experts: experts that each rank has beside its share of
      num_experts, and that all of its tokens go through beside the num_topk
      that they choose; see `transform_weights_for_mega_moe`.
    backend: "peer_mapped" for all devices of the axis in one process,
      "cuda_ipc" or "nvshmem" for a process each; None takes the first or the
      second, whichever fits.
    timeout_s: how long a device waits for another before it gives up; more than
      the processes may ever be apart, compilation included.

  Raises:
    TypeError: an argument is of another type.
    ValueError: a size is not supported, or the mesh has no such axis, or cannot
      have this backend.
    NotImplementedError: an activation or arrangement of processes that is not
      there.
    MemoryError: a device has no room; says which fraction XLA may have.
    RuntimeError: devices cannot reach each other's memory, or another process
      failed.
    TimeoutError: another process did not come.
  """
  axes = checked_axes(mesh, axis_name)
  arena = checked_arena(
    mesh,
    axis_name,
    num_experts=num_experts,
    num_max_tokens_per_rank=num_max_tokens_per_rank,
    num_topk=num_topk,
    hidden=hidden,
    intermediate_hidden=intermediate_hidden,
    mma_type=mma_type,
    activation=activation,
    num_shared_experts=num_shared_experts,
  )
  timeout_ns = checked_timeout(timeout_s)
  check_backend(backend)
  groups = RankGroups.along(mesh.devices, axes)
  memory = _allocate(groups, arena, timeout_ns, backend)
  return SymmBuffer(
    arena=arena,
    mesh=mesh,
    axis_name=axis_name,
    activation=activation,
    handle=handles.own() if memory is None else memory.handle,
    backend=None if memory is None else memory.backend,
    _memory=memory,
  )


def _allocate(
  groups: RankGroups,
  arena: MegaMoeArena,
  timeout_ns: int,
  backend: str | None,
) -> "SymmetricMemory | None":
  platforms = sorted({device.platform for device in groups.devices})
  if platforms == ["cpu"]:
    return None
  if platforms != ["gpu"]:
    raise NotImplementedError(
      f"mesh: expected devices of CUDA or CPUs, got {', '.join(platforms)}"
    )
  if not groups.local():
    raise ValueError("mesh: expected devices of this process, got none")
  launcher.require()
  # Not without the extension module, which the line above has found.
  from jax_deepgemm.symmetric_memory import allocation

  return allocation.allocate(
    groups, arena.num_bytes, arena.control_bytes, timeout_ns, backend
  )
