"""Options: validation, scoping and the functions that set them."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.options import current, set_globally


@pytest.fixture(autouse=True)
def options_of_before():
  before = current()
  yield
  set_globally(**vars(before))


@pytest.mark.parametrize(
  ("change", "error", "message"),
  [
    ({"num_sms": 0}, ValueError, "num_sms must be >= 1, got 0"),
    ({"num_sms": 1.5}, TypeError, "num_sms must be an integer, got 1.5"),
    ({"num_sms": True}, TypeError, "num_sms must be an integer, got True"),
    ({"tc_util": 101}, ValueError, "tc_util must be 0 to 100, got 101"),
    ({"pdl": 1}, TypeError, "pdl must be a bool, got 1"),
    ({"mk_alignment": 0}, ValueError, "mk_alignment must be >= 1, got 0"),
    (
      {"implementation": "fast"},
      ValueError,
      "must be one of auto, kernel, reference, got 'fast'",
    ),
    ({"device": 90}, TypeError, "device must be the name of a GPU or None"),
    (
      {"block_size_multiple_of": (1, 2, 3)},
      ValueError,
      "block_size_multiple_of must be an integer or a pair",
    ),
    (
      {"block_size_multiple_of": (0, 1)},
      ValueError,
      "block_size_multiple_of must be >= 1, got 0",
    ),
    ({"speed": 9}, TypeError, "there is no option 'speed'; options are"),
  ],
)
def test_a_wrong_option_is_refused(change, error, message):
  with pytest.raises(error, match=message), dg.options(**change):
    pass


def test_equal_options_are_equal_whatever_their_type_was():
  wanted = dg.Options(num_sms=64, block_size_multiple_of=(8, 8))
  found = dg.Options(num_sms=np.int64(64), block_size_multiple_of=8)
  assert (found, hash(found)) == (wanted, hash(wanted))
  assert type(found.num_sms) is int
  assert dg.Options(block_size_multiple_of=[8, 16]).block_size_multiple_of == (
    8,
    16,
  )


def test_contexts_nest_and_end():
  before = current()
  with dg.options(num_sms=64):
    with dg.options(pdl=True) as inner:
      assert inner == current()
      assert (inner.num_sms, inner.pdl) == (64, True)
    assert not current().pdl
  assert current() == before


def test_a_context_ends_with_an_exception():
  with pytest.raises(KeyError), dg.options(num_sms=64):
    raise KeyError
  assert current().num_sms is None


def seen_by_another_thread() -> dg.Options:
  seen = []
  thread = threading.Thread(target=lambda: seen.append(current()))
  thread.start()
  thread.join()
  return seen[0]


def test_a_context_is_of_its_thread_and_a_setting_of_all():
  with dg.options(num_sms=64):
    assert seen_by_another_thread().num_sms is None
  dg.set_num_sms(32)
  assert seen_by_another_thread().num_sms == 32


def test_a_context_wins_over_a_setting():
  with dg.options(num_sms=64):
    dg.set_num_sms(32)
    assert dg.get_num_sms() == 64
  assert dg.get_num_sms() == 32


def test_num_sms_is_that_of_the_device_until_it_is_set():
  assert dg.get_num_sms() == 132
  with dg.options(device="NVIDIA H20"):
    assert dg.get_num_sms() == 78
  dg.set_num_sms(16)
  assert dg.get_num_sms() == 16
  dg.set_num_sms(None)
  assert dg.get_num_sms() == 132


@pytest.mark.parametrize(
  ("setter", "getter", "value"),
  [
    (dg.set_tc_util, dg.get_tc_util, 50),
    (dg.set_pdl, dg.get_pdl, True),
    (
      dg.set_mk_alignment_for_contiguous_layout,
      dg.get_mk_alignment_for_contiguous_layout,
      64,
    ),
    (
      dg.set_ignore_compile_dims,
      lambda: current().ignore_compile_dims,
      True,
    ),
    (
      dg.set_block_size_multiple_of,
      lambda: current().block_size_multiple_of,
      (16, 32),
    ),
  ],
)
def test_what_is_set_is_got(setter, getter, value):
  assert getter() != value
  setter(value)
  assert getter() == value


@pytest.mark.parametrize("expected_m", [None, 1, 4096])
def test_the_alignment_of_hopper_does_not_depend_on_the_groups(expected_m):
  f = dg.get_theoretical_mk_alignment_for_contiguous_layout
  assert f(expected_m) == 128


def test_a_setting_makes_jit_trace_again():
  traces = []
  f = jax.jit(lambda x: traces.append(current().pdl) or x)
  x = jnp.ones(3)
  f(x)
  dg.set_pdl(True)
  f(x)
  f(x)
  dg.set_pdl(False)
  f(x)
  assert traces == [False, True]
