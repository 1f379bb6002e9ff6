"""Recipes of the built-in models, one a file; ``python -m etude.models.train`` runs them."""
