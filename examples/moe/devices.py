"""The processes and devices of a run."""

import jax

from moe.arguments import Arguments
from moe.attention import Implementation
from moe.errors import UsageError


def start(arguments: Arguments) -> None:
  """Connects the processes; before anything else asks for devices."""
  if arguments.cpu_devices is not None:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", arguments.cpu_devices)
  if arguments.cluster:
    jax.distributed.initialize()
  elif arguments.coordinator is not None:
    jax.distributed.initialize(
      arguments.coordinator,
      arguments.num_processes,
      arguments.process_id,
      arguments.local_devices,
    )


def check(arguments: Arguments) -> None:
  """Raises UsageError if these devices cannot run what was asked for."""
  preset, shape = arguments.preset, arguments.mesh
  if preset.needs_hopper and not _is_hopper(jax.devices()[0]):
    raise UsageError(
      "this preset needs a Hopper GPU (compute capability 9.0); --preset tiny"
      " runs anywhere"
    )
  size = shape.size if shape else len(jax.devices())
  if preset.train.batch_size % size:
    raise UsageError(
      f"the batch of {preset.train.batch_size} sequences must be divisible by"
      f" the mesh's {size} devices"
    )
  if shape and preset.model.num_experts % shape.expert:
    raise UsageError(
      f"the {preset.model.num_experts} experts must be divisible by the mesh's"
      f" expert={shape.expert}"
    )


def attention(arguments: Arguments) -> Implementation:
  """Returns the implementation of attention for these devices."""
  if arguments.attention != "auto":
    return arguments.attention
  return "cudnn" if jax.default_backend() == "gpu" else "xla"


def is_first() -> bool:
  """Returns whether this process is the one that prints and writes metrics."""
  return jax.process_index() == 0


def _is_hopper(device: jax.Device) -> bool:
  return device.platform == "gpu" and device.compute_capability == "9.0"
