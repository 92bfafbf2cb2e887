"""`ImageSpec` where version 0.3.0 had it, for scripts written then."""

from hypermodels import ImageSpec

__all__ = ["ImageSpec"]
