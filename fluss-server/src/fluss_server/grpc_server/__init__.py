"""The same RPCs over gRPC, with health checking and reflection."""
