"""Conformance: whether a method keeps the contract of methods."""

__all__ = []
