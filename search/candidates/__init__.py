"""Which configurations a search tries: drawn from its space, counted, refused where infeasible."""
