"""What a person sees: the panel, the lines, the final report."""
