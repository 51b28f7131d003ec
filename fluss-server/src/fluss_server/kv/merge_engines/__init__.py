"""Merge engines: what an upsert or a delete makes of the row that is there. No I/O."""
