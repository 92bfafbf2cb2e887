"""How it is searched: the driver's side, and the worker's side of a trial."""

__version__ = "0.4.0"
