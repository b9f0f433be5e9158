"""Below `simbg.io.safe_files`: `contents` of files, and `work_places` for unfinished output."""

__all__ = []
