"""Files in; figures, tables and the report out. Nothing here computes a score or needs torch."""
