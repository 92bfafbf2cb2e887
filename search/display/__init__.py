"""What a user sees: the panel, the lines, the final report."""
