"""The native protocol: framing, connections, the server and its services, and a small client."""
