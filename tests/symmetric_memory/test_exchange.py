"""Processes succeed together, or fail together and say why."""

import pytest

from jax_deepgemm.symmetric_memory.exchange import Exchange


def talk(processes, function, timeout_s=5.0):
  """Returns what `function(exchange, index)` returns or raises in each."""
  return processes.run(
    lambda index: function(
      Exchange(processes.store, "talk", (0, 1), index, timeout_s), index
    )
  )


def test_everyone_hears_everyone_in_the_order_of_steps(processes):
  def steps(exchange, index):
    first = exchange.gather(lambda: b"a%d" % index)
    return first, exchange.gather(lambda: b"b%d" % index)

  expected = ({0: b"a0", 1: b"a1"}, {0: b"b0", 1: b"b1"})
  assert talk(processes, steps) == [expected, expected]
  # Of the steps that are over nothing stays.
  assert set(processes.store.values) == {
    f"jax_deepgemm/talk/1/{index}" for index in (0, 1)
  }


def test_a_failure_is_everyones_with_its_reason(processes):
  def act(index):
    if index == 1:
      raise MemoryError("no room")
    return "taken"

  own, other = reversed(
    talk(processes, lambda exchange, i: exchange.agree(lambda: act(i)))
  )
  assert isinstance(own, MemoryError)
  assert str(own) == "no room"
  assert str(other) == "symmetric buffer: process 1 failed: no room"


def test_who_does_not_come_is_named(processes):
  def step(exchange, index):
    return exchange.gather(bytes) if index == 0 else None

  error, _ = talk(processes, step, timeout_s=0.05)
  assert isinstance(error, TimeoutError)
  assert "process 1 did not come to step 0 of talk within 0.05 s" in str(error)


def test_who_did_not_come_once_is_not_waited_for_again(processes):
  def meet(exchange, index):
    if index == 1:
      return None
    first = exchange.meet(0.05)
    return first, exchange.meet(60)

  assert talk(processes, meet)[0] == (False, False)


def test_one_process_needs_no_store():
  exchange = Exchange(None, "alone", (3,), 3)
  assert exchange.gather(lambda: b"x") == {3: b"x"}
  assert exchange.agree(lambda: 7) == 7
  assert exchange.meet()
  with pytest.raises(ZeroDivisionError):
    exchange.agree(lambda: 1 // 0)
