"""Trains stacked networks over whole grids and records what their gradients do, layer by layer.

Axis names used in every docstring and einsum of this package: ``cell`` (one network), ``batch``,
``layer`` (1 … L, layers that carry weights), ``unit``, ``out``, ``in``, ``step``.
"""

__version__ = "0.1.0"

NUMERICS_VERSION = 3
"""Part of every cell id: raised whenever a change makes any recorded number come out differently."""
