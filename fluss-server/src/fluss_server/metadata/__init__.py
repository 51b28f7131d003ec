"""Coordination state: a small durable tree of nodes behind one interface, and the records kept in it."""
