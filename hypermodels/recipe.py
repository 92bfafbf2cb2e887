"""`Budget` where version 0.3.0 had it, for scripts written then."""

from hypermodels import Budget

__all__ = ["Budget"]
