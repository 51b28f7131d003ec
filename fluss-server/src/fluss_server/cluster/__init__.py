"""What coordinator and tablet servers say to each other, as values; and what a server knows of its cluster."""
