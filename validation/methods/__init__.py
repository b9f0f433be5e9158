"""Methods under validation: candidates, their isolation and adapters for other libraries."""

__all__ = []
