"""Who may come in and what they may do: logins, access control entries, and the check around every RPC."""
