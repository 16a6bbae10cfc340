"""`python -m jax_deepgemm`: what was found, and whether it works."""
