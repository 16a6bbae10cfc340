"""Launch descriptions become exactly one custom call with their attributes."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.primitives import (
  kernel_library,
  launch,
  launcher,
  target,
)
from tests.primitives.cuda_lowering import (
  attribute,
  launches,
  lowered_for_cuda,
)

RECIPE = Recipe("entry", '#include "k.cuh"\n', "sm_90a", "--flag", "abc")
PARAMS = (
  launch.Buffer(1),
  launch.Scalar(2**40, "i64"),
  launch.Scalar(7),
  launch.Scalar(0.5, "f32"),
  launch.TensorMap(0, "u8", (256, 64), (256,), (128, 64), 128),
)


def kernel(**changes):
  arguments = {
    "recipe": RECIPE,
    "grid": (132, 2, 3),
    "cluster": (2, 1, 1),
    "threads": 384,
    "smem_bytes": 200000,
    "pdl": True,
    "params": PARAMS,
  }
  return launch.KernelCall(**(arguments | changes))


def call(*kernels, aliases=None, arenas=()):
  def f(x):
    result = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return launch.call(kernels, [x], [result], aliases, arenas)[0]

  return f


X = jnp.ones((8, 8), jnp.float32)


def test_one_call_is_one_custom_call_of_the_typed_interface():
  (line,) = launches(lowered_for_cuda(call(kernel()), X))
  # JAX writes the typed interface, version 4, as this dictionary.
  assert "mhlo.backend_config = {launch0 = {" in line
  assert attribute(line, "num_launches") == "1"


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("kernel", '"entry"'),
    ("arch", '"sm_90a"'),
    ("flags", '"--flag"'),
    ("fingerprint", '"abc"'),
    ("grid", "dense<[132, 2, 3]>"),
    ("cluster", "dense<[2, 1, 1]>"),
    ("threads", "384"),
    ("smem_bytes", "200000"),
    ("pdl", "true"),
    ("p00", '{index = 1 : i64, kind = "buffer"}'),
    ("p01", '{kind = "i64", value = 1099511627776 : i64}'),
    ("p02", '{kind = "i32", value = 7 : i64}'),
    ("p03", '{kind = "f32", value = 5.000000e-01 : f32}'),
    ("swizzle", "128"),
    ("l2_promotion", "256"),
    ("dims", "dense<[256, 64]>"),
    ("strides", "dense<256>"),
    ("box", "dense<[128, 64]>"),
  ],
)
def test_an_attribute_reads_back(name, value):
  (line,) = launches(lowered_for_cuda(call(kernel()), X))
  assert re.search(rf"[ {{]{name} = {re.escape(value)}", line)


def test_several_launches_share_one_call():
  (line,) = launches(lowered_for_cuda(call(kernel(), kernel(threads=128)), X))
  assert attribute(line, "num_launches") == "2"
  assert "launch0 = {" in line
  assert "threads = 128" in line.split("launch1 = {")[1]


def test_arenas_and_offsets_are_attributes_where_there_are_any():
  plain = kernel(params=(launch.Buffer(1), PARAMS[-1]))
  (line,) = launches(lowered_for_cuda(call(plain), X))
  assert "arenas" not in line
  assert "offset" not in line
  moved = kernel(
    params=tuple(
      dataclasses.replace(param, index=2, offset=2**33)
      for param in plain.params
    )
  )
  (line,) = launches(lowered_for_cuda(call(moved, arenas=(3, 5)), X))
  assert attribute(line, "arenas") == "dense<[3, 5]>"
  assert line.count(f"offset = {2**33} : i64") == 2


def test_more_than_ten_parameters_stay_in_order():
  params = tuple(launch.Scalar(i) for i in range(12))
  (line,) = launches(lowered_for_cuda(call(kernel(params=params)), X))
  values = [f'p{i:02d} = {{kind = "i32", value = {i}' for i in range(12)]
  assert [line.index(v) for v in values] == sorted(
    line.index(v) for v in values
  )


def test_an_alias_shares_the_memory_of_operand_and_result():
  f = call(kernel(), aliases={0: 0})
  text = lowered_for_cuda(f, X, donate_argnums=0)
  (line,) = launches(text)
  assert "output_operand_alias<" in line
  assert "operand_index = 0" in line
  assert "tf.aliasing_output = 0" in text or "jax.buffer_donor" in text


def test_without_an_alias_nothing_is_shared():
  (line,) = launches(lowered_for_cuda(call(kernel()), X))
  assert "output_operand_alias<" not in line


def test_equal_launches_are_one_cache_entry():
  assert hash(kernel()) == hash(kernel())
  assert kernel() == kernel()
  assert kernel() != kernel(pdl=False)


def test_the_cpu_has_no_lowering():
  with pytest.raises(NotImplementedError, match="platform cpu"):
    jax.jit(call(kernel()))(X)


class RecordingLibrary:
  """Stands for the process's library and remembers what it was asked."""

  def __init__(self):
    self.prefetched = []
    self.resolved = []

  def prefetch(self, recipe):
    self.prefetched.append(recipe)

  def resolve(self, recipe):
    self.resolved.append(recipe)
    return b"\x00cubin\xff"


@pytest.fixture
def library(monkeypatch):
  recorded = RecordingLibrary()
  monkeypatch.setattr(kernel_library, "library", lambda: recorded)
  return recorded


def give_gpu(monkeypatch, name="NVIDIA H200", capability=(9, 0)):
  device = Device(name, capability, num_sms=132)
  monkeypatch.setattr(target, "process_device", lambda: device)
  monkeypatch.setattr(launch, "process_device", lambda: device)
  monkeypatch.setattr(launcher, "_failures", [])


def test_compiling_starts_while_lowering(monkeypatch, library):
  give_gpu(monkeypatch)
  lowered_for_cuda(call(kernel()), X)
  assert library.prefetched == [RECIPE]


def test_a_gpu_needs_the_extension_module(monkeypatch, library):
  give_gpu(monkeypatch)
  monkeypatch.setattr(launcher, "_failures", [ImportError("no _launch")])
  with pytest.raises(
    RuntimeError, match=r"\(no _launch\); install the package"
  ):
    lowered_for_cuda(call(kernel()), X)


def test_a_machine_without_a_gpu_lowers_without_a_compiler(library):
  lowered_for_cuda(call(kernel()), X)
  assert library.prefetched == []


def test_an_embedded_cubin_is_in_the_program(library):
  (line,) = launches(lowered_for_cuda(call(kernel(embed_cubin=True)), X))
  assert attribute(line, "cubin") == r'"\00cubin\FF"'
  assert library.resolved == [RECIPE]


def test_the_resolver_asks_the_library(library):
  fields = ("entry", '#include "k.cuh"\n', "sm_90a", "--flag", "abc")
  assert kernel_library.resolve(*fields) == b"\x00cubin\xff"
  assert library.resolved == [RECIPE]


def test_a_result_in_shard_map_varies_as_its_operand():
  mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
  types = []

  def f(x):
    types.append(jax.typeof(call(kernel())(x)).manual_axis_type.varying)
    return x

  jax.eval_shape(
    jax.shard_map(f, mesh=mesh, in_specs=P("x"), out_specs=P("x")), X
  )
  assert types == [frozenset({"x"})]


def test_exporting_needs_exactly_our_exemption():
  exported = jax.export.export(
    jax.jit(call(kernel())),
    platforms=("cuda",),
    disabled_checks=dg.DISABLE_JAX_EXPORT_CHECKS,
  )(X)
  assert "jax_deepgemm_launch" in exported.mlir_module()
  with pytest.raises(ValueError, match="jax_deepgemm_launch"):
    jax.export.export(jax.jit(call(kernel())), platforms=("cuda",))(X)


def test_the_attributes_do_not_depend_on_the_lowering():
  first = lowered_for_cuda(call(kernel()), X)
  assert first == lowered_for_cuda(call(kernel()), np.ones((8, 8), np.float32))
