"""Replicas: one bucket's LogTablet and KvTablet under one high watermark."""
