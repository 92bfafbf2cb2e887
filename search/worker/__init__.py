"""What runs in a worker process: one task, from its first line to its last."""
