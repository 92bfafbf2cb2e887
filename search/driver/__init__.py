"""The driver process while a run is open: its loop, and what it asks of whom."""
