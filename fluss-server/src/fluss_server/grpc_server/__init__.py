"""The second door to the server: the same RPCs over gRPC, with health checking and reflection."""
