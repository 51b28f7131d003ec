"""The processes of a cluster: each wires the parts of a server together and owns its ports and files."""
