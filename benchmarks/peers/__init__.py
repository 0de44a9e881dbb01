"""Programs that do the product's work without it, each as well as its tool allows: what it is timed against.

All take their random draws, data and list of quantities from the product, so that every number can be
compared; the mathematics is written again.
"""
