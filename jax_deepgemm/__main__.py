"""Entry point of `python -m jax_deepgemm`."""

import sys

from jax_deepgemm.cli.main import main

if __name__ == "__main__":
  sys.exit(main())
