"""Adapters, a module for each library whose methods are validated beside ours."""

__all__ = []
