"""Authentication of clients, access control entries, and the authorization of every RPC."""
