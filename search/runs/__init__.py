"""The run directory: where all lies, the journal, what it says, what a resume must match."""
