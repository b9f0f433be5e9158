"""Adapters: one module for each library whose methods are validated."""

__all__ = []
