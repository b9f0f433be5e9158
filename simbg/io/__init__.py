"""Files: data stores, background models, regions; all that is ordered otherwise is turned round here."""

__all__ = []
