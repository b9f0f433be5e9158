"""Methods under validation: candidates, their isolation, and adapters of other libraries."""

__all__ = []
