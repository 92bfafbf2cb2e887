"""Where workers run. A new executor is one file with the methods of `base.Executor`."""
