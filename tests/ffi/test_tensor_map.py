"""Tensor maps: from an attribute to the driver's arguments."""

import jax.numpy as jnp
import pytest

from jax_deepgemm.primitives.kernel_call import Scalar, TensorMap
from tests.ffi.fake_launcher import run

MAP = TensorMap(0, "u8", (256, 8), (256,), (128, 8), 128)


def encode(driver, make_call, tensor_map, *operands):
  run(make_call((tensor_map,), "128"), *(operands or (jnp.zeros(4),)))
  return driver.calls("cuTensorMapEncodeTiled")[0]


def test_a_map_is_encoded_as_described(driver, make_call):
  tensor_map = TensorMap(
    0, "bf16", (512, 2**32, 3), (2**39, 16), (64, 256, 1), 128, 64
  )
  call = encode(driver, make_call, tensor_map)
  assert call["dims"] == [512, 2**32, 3]
  assert call["strides"] == [2**39, 16]
  assert call["box"] == [64, 256, 1]
  assert call["element_strides"] == [1, 1, 1]
  assert (call["interleave"], call["fill"], call["aligned"]) == (0, 0, 1)


def test_a_map_points_at_its_buffer_and_travels_by_value(driver, make_call):
  x, y = jnp.zeros(4), jnp.ones(4)
  maps = (TensorMap(1, "f32", (4,), (), (4,), 0), MAP)
  run(make_call((maps[0], Scalar(7), maps[1]), "128 4 128"), x, y)
  addresses = [y.unsafe_buffer_pointer(), x.unsafe_buffer_pointer()]
  encoded = driver.calls("cuTensorMapEncodeTiled")
  assert [call["address"] for call in encoded] == addresses
  first, scalar, second = driver.launches()[0]["arguments"]
  assert scalar == "07000000"
  for argument, address in zip((first, second), addresses, strict=True):
    assert argument == address.to_bytes(8, "little").hex() + "ab" * 120


@pytest.mark.parametrize(
  ("dtype", "enum"),
  [
    ("u8", "UINT8"),
    ("u16", "UINT16"),
    ("u32", "UINT32"),
    ("i32", "INT32"),
    ("u64", "UINT64"),
    ("i64", "INT64"),
    ("f16", "FLOAT16"),
    ("f32", "FLOAT32"),
    ("f64", "FLOAT64"),
    ("bf16", "BFLOAT16"),
  ],
)
def test_dtypes_have_the_numbers_of_cuda(driver, make_call, dtype, enum):
  bindings = pytest.importorskip("cuda.bindings.driver")
  numbers = bindings.CUtensorMapDataType
  tensor_map = TensorMap(0, dtype, (4,), (), (4,), 0)
  expected = int(getattr(numbers, f"CU_TENSOR_MAP_DATA_TYPE_{enum}"))
  assert encode(driver, make_call, tensor_map)["dtype"] == expected


@pytest.mark.parametrize("size", [0, 32, 64, 128, 256])
def test_modes_have_the_numbers_of_cuda(driver, make_call, size):
  bindings = pytest.importorskip("cuda.bindings.driver")
  swizzle = size if size <= 128 else 0
  l2_promotion = size if size != 32 else 0
  tensor_map = TensorMap(0, "u8", (4,), (), (4,), swizzle, l2_promotion)
  call = encode(driver, make_call, tensor_map)
  suffix = f"{swizzle}B" if swizzle else "NONE"
  mode = getattr(bindings.CUtensorMapSwizzle, f"CU_TENSOR_MAP_SWIZZLE_{suffix}")
  assert call["swizzle"] == int(mode)
  suffix = f"L2_{l2_promotion}B" if l2_promotion else "NONE"
  promotions = bindings.CUtensorMapL2promotion
  mode = getattr(promotions, f"CU_TENSOR_MAP_L2_PROMOTION_{suffix}")
  assert call["l2_promotion"] == int(mode)
