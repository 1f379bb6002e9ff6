"""Late interaction: texts as a vector for each token, scored by their best matches."""
