"""Configurations as C++ text."""

import dataclasses
import enum

import pytest

from jax_deepgemm.jit import render_struct
from jax_deepgemm.jit.compiler import compile_kernel


class Major(enum.Enum):
  K = 0
  ROW_MAJOR = 1
  Fp8E4m3 = 2


class Level(enum.IntEnum):
  HIGH = 7


@dataclasses.dataclass(frozen=True)
class Tile:
  m: int = 64
  n: int = 120


@dataclasses.dataclass(frozen=True)
class Config:
  block_m: int = 192
  with_c: bool = True
  pdl: bool = False
  scale: float = 0.1
  tiny: float = 1e-30
  major: Major = Major.ROW_MAJOR
  level: Level = Level.HIGH
  tile: Tile = Tile()
  lowest: int = -(2**63) + 1
  highest: int = 2**64 - 1


@dataclasses.dataclass
class One:
  value: object


CPP = """
enum class Major { kK, kRowMajor, kFp8E4m3 };
enum Level { kHigh = 7 };
struct Tile { int m; int n; };
struct Config {
  int block_m; bool with_c; bool pdl; float scale; double tiny;
  Major major; Level level; Tile tile; long long lowest;
  unsigned long long highest;
};
template <Config config> struct Kernel {
  static_assert(config.block_m == 192);
  static_assert(config.with_c && !config.pdl);
  static_assert(config.scale == 0.1f);
  static_assert(config.tiny == 1e-30);
  static_assert(config.major == Major::kRowMajor);
  static_assert(config.level == 7);
  static_assert(config.tile.m == 64 && config.tile.n == 120);
  static_assert(config.lowest == -9223372036854775807ll);
  static_assert(config.highest == 18446744073709551615ull);
  static constexpr int kThreads = config.tile.n;
};
extern "C" __global__ void fields(int* out) {
  *out = Kernel<%s>::kThreads;
}
"""


def test_a_config_reads_like_its_dataclass():
  assert render_struct(Tile(m=64, n=-1)) == "Tile{.m = 64, .n = -1}"
  assert render_struct(Config()).startswith(
    "Config{.block_m = 192, .with_c = true, .pdl = false, .scale = 0.1, "
    ".tiny = 1e-30, .major = Major::kRowMajor, .level = Level::kHigh, "
    ".tile = Tile{.m = 64, .n = 120}, "
  )


def test_the_struct_can_have_another_name():
  assert render_struct(Tile(), name="ns::Tile") == "ns::Tile{.m = 64, .n = 120}"


@pytest.mark.parametrize(
  ("member", "enumerator"),
  [
    (Major.K, "kK"),
    (Major.ROW_MAJOR, "kRowMajor"),
    (Major.Fp8E4m3, "kFp8E4m3"),
  ],
)
def test_a_member_becomes_a_google_style_enumerator(member, enumerator):
  assert render_struct(One(member)) == f"One{{.value = Major::{enumerator}}}"


def test_cpp_sees_the_values_that_python_wrote(make_recipe, settings):
  recipe = make_recipe(CPP % render_struct(Config()), kernel="fields")
  assert compile_kernel(recipe, settings).cubin


def test_cpp_notices_another_value(make_recipe, settings):
  config = dataclasses.replace(Config(), tile=Tile(n=121))
  recipe = make_recipe(CPP % render_struct(config), kernel="fields")
  with pytest.raises(RuntimeError, match="static assertion failed"):
    compile_kernel(recipe, settings)


@pytest.mark.parametrize("value", [None, "text", (1, 2), 1j])
def test_a_value_without_a_cpp_literal_is_a_type_error(value):
  with pytest.raises(TypeError, match=r"One\.value must be .* got"):
    render_struct(One(value))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**64, -(2**63)])
def test_a_number_that_cpp_cannot_write_is_a_value_error(value):
  with pytest.raises(ValueError, match=r"One\.value must .* got"):
    render_struct(One(value))


@pytest.mark.parametrize("config", [3, Tile])
def test_only_a_dataclass_instance_is_rendered(config):
  with pytest.raises(TypeError, match="config must be a dataclass instance"):
    render_struct(config)
