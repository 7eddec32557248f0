"""`amrgate-ca` with keys that are locked at the least cost: `python -m tests.quick_ca init …`.

For tests that are about something else; what the program itself makes is in test_ops_init.py.
"""

from __future__ import annotations

from ca.keys import files
from ca.ops.main import main

files.KDF_ROUNDS = 1

if __name__ == "__main__":
    main()
