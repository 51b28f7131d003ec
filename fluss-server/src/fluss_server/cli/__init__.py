"""The ``fluss`` command."""
