"""Where a kernel's machine code comes from."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm import ffi
from jax_deepgemm.ffi import _launch
from jax_deepgemm.primitives import attributes
from jax_deepgemm.primitives.kernel_call import Scalar
from tests.ffi.fake_launcher import launch, run


def test_the_compiler_gets_the_recipe_as_it_was_written(
  driver, make_call, compiler
):
  call = make_call(sizes="4\n// é \\ \" '", params=(Scalar(1),))
  recipe = dataclasses.replace(call.recipe, flags="-lineinfo --x='1 2'")
  run(dataclasses.replace(call, recipe=recipe))
  assert compiler.requests == [recipe]


def test_a_recipe_is_resolved_once(driver, make_call, compiler):
  for _ in range(2):
    run([make_call(), make_call(threads=64)])
  assert len(compiler.requests) == 1
  run(make_call(sizes=" "))
  assert len(compiler.requests) == 2


def test_a_known_recipe_needs_no_python(driver, make_call):
  run(make_call())

  def refuse(*recipe: str) -> bytes:
    raise AssertionError(recipe)

  _launch.set_resolver(refuse)
  run(make_call())
  assert len(driver.launches()) == 2


def test_an_embedded_kernel_is_not_compiled(driver, make_call, compiler):
  call = make_call((Scalar(3),))
  # Bytes that are no text survive the way through the program.
  image = b"4\0\xff\xfe"
  run(attributes.of_call([call], [image]))
  assert compiler.requests == []
  assert driver.calls("cuLibraryLoadData")[0]["sizes"] == [4]
  assert driver.launches()[0]["arguments"] == ["03000000"]


def test_two_embedded_kernels_of_one_recipe_are_two(driver, make_call):
  call = make_call((Scalar(1),))
  for image in (b"4", b"2", b"4"):
    run(attributes.of_call([call], [image]))
  arguments = [event["arguments"] for event in driver.launches()]
  assert arguments == [["01000000"], ["0100"], ["01000000"]]
  assert ffi.counters()["loads"] == 2


def test_threads_that_compile_one_recipe_at_once_share_it(
  driver, make_call, compiler
):
  num_threads = 8
  barrier = threading.Barrier(num_threads)
  call = make_call((Scalar(1),), "4")

  def compile_and_run(i: int) -> None:
    barrier.wait(timeout=60)
    # Different programs: jit must not do the sharing.
    run(call, results=(((i + 1,), np.float32),))

  with ThreadPoolExecutor(num_threads) as pool:
    list(pool.map(compile_and_run, range(num_threads)))
  assert ffi.counters()["instantiates"] == num_threads
  assert ffi.counters()["loads"] == 1
  # Those that came before the first answer asked too; the compiler shares work.
  assert set(compiler.requests) == {call.recipe}
  num_requests = len(compiler.requests)
  assert num_requests <= num_threads
  run(call)
  assert len(compiler.requests) == num_requests
  launched = driver.launches()
  assert [event["arguments"] for event in launched] == [["01000000"]] * 9


def test_one_program_runs_on_many_threads_at_once(driver, make_call):
  program = jax.jit(lambda x: launch(make_call(), x))
  devices = jax.devices()

  def run_on(i: int) -> None:
    x = jax.device_put(jnp.zeros(4), devices[i % len(devices)])
    for _ in range(5):
      jax.block_until_ready(program(x))

  with ThreadPoolExecutor(8) as pool:
    list(pool.map(run_on, range(8)))
  launched = driver.launches()
  assert len(launched) == 40
  assert all(
    event["function_device"] == event["context_device"] for event in launched
  )


def test_a_resolver_may_wait_for_another_python_thread(driver, make_call):
  with ThreadPoolExecutor(1) as pool:
    _launch.set_resolver(lambda *recipe: pool.submit(bytes).result(timeout=60))
    run(make_call())
  assert len(driver.launches()) == 1
