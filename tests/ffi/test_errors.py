"""What a caller reads when something is wrong."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.ffi import _launch
from jax_deepgemm.primitives import attributes
from jax_deepgemm.primitives.kernel_call import Buffer, Scalar, TensorMap
from tests.ffi.fake_launcher import run

MAP = TensorMap(0, "u8", (256, 8), (256,), (128, 8), 128)


def i64s(*values: int) -> np.ndarray:
  return np.asarray(values, np.int64)


def error_of(calls, *operands) -> str:
  with pytest.raises(jax.errors.JaxRuntimeError) as info:
    run(calls, *operands)
  return str(info.value)


@pytest.mark.parametrize(
  ("change", "expected"),
  [
    ({"kind": "pointer"}, "parameter 1: unknown kind 'pointer'"),
    ({"index": np.int64(-1)}, "'index' is -1, out of range"),
    ({"index": np.int32(0)}, "attribute 'index'"),
    ({"dtype": "e4m3"}, "'dtype' is e4m3; expected one of u8 u16"),
    ({"swizzle": np.int64(16)}, "'swizzle' is 16; expected one of 0 32 64"),
    ({"l2_promotion": np.int64(1)}, "'l2_promotion' is 1; expected one of"),
    ({"box": i64s(128)}, "dims=[256, 8] strides=[256] box=[128]"),
    ({"strides": i64s()}, "dims=[256, 8] strides=[] box=[128, 8]"),
    ({"box": i64s(2**32, 8)}, "'box' is 4294967296, out of range"),
  ],
)
def test_a_wrong_parameter_is_named(driver, make_call, change, expected):
  call = make_call((Scalar(1), MAP), "4 128")
  values = attributes.of_call([call], [None])
  values["launch0"]["params"]["p01"] |= change
  text = error_of(values, jnp.zeros(4))
  assert "launch0" in text
  assert "parameter 1" in text
  assert expected in text


@pytest.mark.parametrize(
  ("change", "expected"),
  [
    ({"grid": i64s(1, 1)}, "attribute 'grid' has 2 numbers; expected 3"),
    ({"threads": np.int64(-1)}, "attribute 'threads' is -1"),
    ({"pdl": np.int64(1)}, "attribute 'pdl'"),
    ({"kernel": np.int64(1)}, "attribute 'kernel'"),
    ({"params": {"p00": {"kind": "i32"}}}, "attribute 'value'"),
    ({"params": {"p01": {}}}, "parameter 0 is named 'p01'; expected 'p00'"),
    (
      {"params": {"p00": {"kind": "i32", "value": np.int64(2**32)}}},
      "'value' is 4294967296, which 32 bits cannot hold",
    ),
  ],
)
def test_a_wrong_launch_is_named(driver, make_call, change, expected):
  values = attributes.of_call([make_call(), make_call()], [None, None])
  values["launch1"] |= change
  text = error_of(values)
  assert "launch1: " in text
  assert expected in text


def test_a_missing_launch_is_named(driver, make_call):
  values = attributes.of_call([make_call()], [None])
  values["num_launches"] = np.int64(2)
  assert "attribute 'launch1'" in error_of(values)


@pytest.mark.parametrize(
  "param", [Buffer(2), dataclasses.replace(MAP, index=2)]
)
def test_an_index_out_of_range_is_named(driver, make_call, param):
  text = error_of(make_call((Buffer(0), param), "8 8"), jnp.zeros(4))
  assert "kernel 'fake': parameter 1: index 2 is out of range" in text
  assert "the call has 2 operands, results and arenas" in text


def test_a_python_exception_keeps_its_type_and_text(driver, make_call):
  def resolve(*recipe: str) -> bytes:
    raise ValueError("line 3: expected a ';'")

  _launch.set_resolver(resolve)
  text = error_of(make_call())
  assert "kernel 'fake': the resolver failed" in text
  assert "ValueError: line 3: expected a ';'" in text


def test_a_resolver_must_return_bytes(driver, make_call):
  _launch.set_resolver(lambda *recipe: "text")
  assert "must return bytes, got str" in error_of(make_call())


@pytest.mark.parametrize(
  "function",
  [
    "cuLibraryLoadData",
    "cuLibraryGetKernel",
    "cuKernelGetFunction",
    "cuKernelSetAttribute",
    "cuCtxGetCurrent",
    "cuCtxPushCurrent",
    "cuTensorMapEncodeTiled",
    "cuLaunchKernelEx",
  ],
)
def test_a_failed_driver_call_names_itself_and_the_kernel(
  driver, make_call, function
):
  driver.fail(function)
  text = error_of(make_call((MAP,), "128", smem_bytes=2**16), jnp.zeros(4))
  assert "kernel 'fake': " in text
  reason = "failed: CUDA_ERROR_INVALID_VALUE (invalid argument)"
  assert f"{function} {reason}" in text


def test_a_failed_stream_query_is_an_error(driver, make_call):
  driver.fail("cuStreamIsCapturing")
  assert "cuStreamIsCapturing failed" in error_of(make_call())


def test_an_error_that_the_driver_cannot_name_has_its_number(driver, make_call):
  driver.fail("cuLibraryLoadData", 999)
  text = error_of(make_call())
  assert "CUresult 999 (unknown to this driver)" in text


def test_a_refused_map_shows_all_that_was_asked(driver, make_call):
  driver.fail("cuTensorMapEncodeTiled")
  text = error_of(make_call((Scalar(1), MAP), "4 128"), jnp.zeros(4))
  expected = (
    "parameter 1: cuTensorMapEncodeTiled failed: .* for dtype=u8"
    r" dims=\[256, 8\] strides=\[256\] box=\[128, 8\] swizzle=128"
    " l2_promotion=256 address=0x"
  )
  assert re.search(expected, text), text


def test_a_refused_launch_shows_its_geometry(driver, make_call):
  driver.fail("cuLaunchKernelEx")
  call = make_call(
    grid=(3, 1, 1), cluster=(2, 1, 1), threads=384, smem_bytes=9, pdl=True
  )
  text = error_of(call)
  expected = "grid=(3, 1, 1) cluster=(2, 1, 1) threads=384 smem_bytes=9 pdl=1"
  assert expected in text


def test_a_driver_in_use_cannot_be_replaced(driver, make_call):
  run(make_call())
  with pytest.raises(RuntimeError, match="already loaded"):
    _launch.set_driver_path("libcuda.so.1")
