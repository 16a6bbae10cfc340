"""Measurements; run from the checkout with python -m benchmarks.NAME."""
