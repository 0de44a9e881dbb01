"""The commands of ``python -m analysis``: a module each, with the page of its ``--help``."""
