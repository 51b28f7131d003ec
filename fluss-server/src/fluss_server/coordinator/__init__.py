"""The coordinator: databases and tables, and the services that define, describe and remove them."""
