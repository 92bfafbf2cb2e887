"""Operations on any Keras graph, independent of attention mechanisms and families."""
