"""What a server counts, what it is called, and how it is shown."""
