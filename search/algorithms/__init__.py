"""Decisions: from what is known of finished trials to the trials that exist.

Everything here is a pure function of its arguments: no files, no clocks, no processes, no
spaces of settings. A new algorithm is one file with the methods of `base.Algorithm`.
"""
