"""Conformance: whether a method keeps the contract."""

__all__ = []
