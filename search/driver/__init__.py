"""What runs in the driver process while a run is open: the loop, and who is asked what."""
