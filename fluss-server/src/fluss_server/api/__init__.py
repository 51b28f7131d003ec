"""The protocol's messages and its table of APIs; ``fluss.proto`` is the source of both."""
