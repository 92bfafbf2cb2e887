"""Facts from a run's state: tables, shares, sites. Nothing here knows a display."""
