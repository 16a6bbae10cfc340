"""Waiting for devices from wherever a program is."""

import contextlib

import jax
import pytest

from jax_deepgemm.symmetric_memory import driver, quiescence
from jax_deepgemm.symmetric_memory.rank_groups import Member
from tests.symmetric_memory.fake_cuda import FakeCuda


@pytest.mark.parametrize("explicit", [None, True, False])
def test_all_devices_are_waited_for_within_any_mesh(monkeypatch, explicit):
  cuda = FakeCuda()
  monkeypatch.setattr(driver, "_bindings", lambda: cuda)
  members = [
    Member(device, 0, i, i) for i, device in enumerate(jax.devices()[1:3])
  ]
  context = contextlib.nullcontext()
  if explicit is not None:
    kinds = jax.sharding.AxisType
    kind = kinds.Explicit if explicit else kinds.Auto
    context = jax.set_mesh(jax.make_mesh((4,), ("x",), axis_types=(kind,)))
  with context:
    quiescence.wait_for(members, driver.Driver())
  ordinals = [member.ordinal for member in members]
  assert [e[1] for e in cuda.calls("cuCtxSynchronize")] == ordinals
  assert cuda.device is None
