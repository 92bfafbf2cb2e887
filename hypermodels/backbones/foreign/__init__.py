"""Networks that others wrote: those of `keras.applications`, and a person's own."""
