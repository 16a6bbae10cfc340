"""The parts of examples/train_moe.py."""
