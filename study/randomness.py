"""Where every random number comes from: one stream per seed and purpose, on the CPU, in float64."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random generator of a network's seed for one purpose.

    The 128-bit key is the hash of both, so streams are independent of each other and of the order in
    which they are opened. NumPy's generators are used rather than torch's, whose CPU generator keeps
    only 32 bits of its seed.

    Args:
        seed: the cell's seed.
        name: the purpose, such as ``"split"`` or ``"weights/3"``.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
