"""Data stores of the gamma-astro-data-formats (GADF): `store` reads them, `writer` writes them."""

__all__ = []
