"""The main job on real programs, in a private machine: what `make demo` shows."""
