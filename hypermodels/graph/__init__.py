"""What is done to any Keras graph; nothing here knows an attention mechanism or a family."""
