"""Clock and disk behind small interfaces, so that tests and the simulation can replace them."""
