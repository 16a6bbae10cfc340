"""What the heuristics need to know of a GPU, by its name."""

import dataclasses

# What shares a table of measurements, by the driver's name: the same chip with
# the same memory. A part of a GPU has another name, or fewer multiprocessors.
_CLASSES = {
  "NVIDIA H200": "h200",
  "NVIDIA H200 NVL": "h200",
  "NVIDIA H100 80GB HBM3": "h100",
  "NVIDIA H800": "h100",
}
_FULL_NUM_SMS = 132


@dataclasses.dataclass(frozen=True)
class Device:
  """A GPU as a configuration sees it.

  Attributes:
    name: The name that the driver reports, such as `NVIDIA H200`.
    compute_capability: Major and minor.
    num_sms: Streaming multiprocessors.
    smem_bytes: Shared memory that one CTA can use.
    memory_bandwidth: Bytes per second of a large read that misses all caches,
      as measured or, for devices that were not measured, 90 % of the
      datasheet's figure.
  """

  name: str
  compute_capability: tuple[int, int] = (9, 0)
  num_sms: int = 132
  smem_bytes: int = 232448
  memory_bandwidth: float = 4.3e12

  @property
  def is_hopper(self) -> bool:
    """Whether the kernels for Hopper run on it."""
    return self.compute_capability == (9, 0)

  @property
  def measured_class(self) -> str | None:
    """Whose measurements hold for it: "h200", "h100", or None."""
    if not self.is_hopper or self.num_sms != _FULL_NUM_SMS:
      return None
    return _CLASSES.get(self.name)


H200 = Device("NVIDIA H200")

KNOWN = {
  device.name: device
  for device in (
    H200,
    Device("NVIDIA H200 NVL"),
    Device("NVIDIA H100 80GB HBM3", memory_bandwidth=3.0e12),
    Device("NVIDIA H100 PCIe", num_sms=114, memory_bandwidth=1.8e12),
    Device("NVIDIA H100 NVL", memory_bandwidth=3.5e12),
    Device("NVIDIA H800", memory_bandwidth=3.0e12),
    Device("NVIDIA H20", num_sms=78, memory_bandwidth=3.6e12),
    Device("NVIDIA GH200 480GB", memory_bandwidth=3.6e12),
  )
}


def device_named(name: str) -> Device:
  """Returns the known device of this name.

  Raises:
    ValueError: No such device is known; the message lists those that are.
  """
  if name not in KNOWN:
    raise ValueError(
      f"unknown device {name!r}; known are {', '.join(sorted(KNOWN))}"
    )
  return KNOWN[name]


def device_found(
  name: str, compute_capability: tuple[int, int], num_sms: int
) -> Device:
  """Returns the device that a driver describes.

  What the driver does not tell is that of the known device of this name.
  """
  return dataclasses.replace(
    KNOWN.get(name, Device(name)),
    compute_capability=compute_capability,
    num_sms=num_sms,
  )
