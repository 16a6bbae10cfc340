"""Hooks for libraries that build on JAX, each imported on its own.

`jax_deepgemm.integrations.flax`, `.qwix` and `.maxtext` need those libraries;
`import jax_deepgemm` imports none of them.
"""
