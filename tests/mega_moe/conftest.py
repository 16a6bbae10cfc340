"""Rows that nobody writes are NaN in these tests, not zeros."""

from tests.expert_parallel.conftest import poisoned_rows

__all__ = ["poisoned_rows"]
