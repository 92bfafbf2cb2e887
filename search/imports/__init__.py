"""What a process imports and what it must not: TensorFlow, scikit-learn, the current folder."""
