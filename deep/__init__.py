"""CUDA training of real networks: recipes, trainer, results. Imports ufm, never the reverse."""
