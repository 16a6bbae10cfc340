"""Runs cases on the emulator: `python -m tests.emulator --help`."""

import sys

from tests.emulator.command_line import main

if __name__ == "__main__":
  sys.exit(main())
