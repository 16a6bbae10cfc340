"""Calls of the driver: names and numbers are NVIDIA's, errors say which."""

import builtins
import re
from pathlib import Path

import pytest

from jax_deepgemm import symmetric_memory
from jax_deepgemm.symmetric_memory import cuda_ipc, driver, status_board
from tests.symmetric_memory.fake_cuda import FakeCuda

SOURCES = sorted(Path(symmetric_memory.__file__).parent.glob("*.py"))


def test_every_function_is_in_nvidias_bindings():
  bindings = pytest.importorskip("cuda.bindings.driver")
  text = "".join(path.read_text("utf-8") for path in SOURCES)
  functions = set(re.findall(r'"(cu[A-Z]\w+)"', text))
  assert {"cuMemAlloc", "cuIpcOpenMemHandle", "cuMemHostRegister"} < functions
  assert not [name for name in functions if not hasattr(bindings, name)]
  assert hasattr(bindings.CUipcMemHandle(), "getPtr")


def test_numbers_are_those_of_cuda():
  bindings = pytest.importorskip("cuda.bindings.driver")
  errors = bindings.CUresult
  assert driver.OUT_OF_MEMORY == errors.CUDA_ERROR_OUT_OF_MEMORY
  enabled = errors.CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED
  assert enabled == driver.PEER_ACCESS_ALREADY_ENABLED
  lazy = bindings.CUipcMem_flags.CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
  assert lazy == cuda_ipc._LAZY_ENABLE_PEER_ACCESS
  assert bindings.CU_MEMHOSTREGISTER_PORTABLE == status_board._PORTABLE
  assert bindings.CU_MEMHOSTREGISTER_DEVICEMAP == status_board._DEVICE_MAP


def test_an_error_names_the_function_and_the_reason(monkeypatch):
  cuda = FakeCuda()
  monkeypatch.setattr(driver, "_bindings", lambda: cuda)
  ours = driver.Driver()
  cuda.failures["cuCtxSynchronize"] = (0, 700)
  with ours.on(1), pytest.raises(driver.CudaError) as info:
    ours.call("cuCtxSynchronize")
  text = "cuCtxSynchronize failed: CUDA_ERROR_700 (a reason)"
  assert (str(info.value), info.value.result) == (text, 700)
  assert cuda.device is None


def test_missing_bindings_are_named_with_their_extra(monkeypatch):
  real = builtins.__import__

  def without_cuda(name, *arguments, **keywords):
    if name.startswith("cuda"):
      raise ImportError(name)
    return real(name, *arguments, **keywords)

  monkeypatch.setattr(builtins, "__import__", without_cuda)
  with pytest.raises(ImportError, match=re.escape("jax_deepgemm[cuda13]")):
    driver.Driver()
