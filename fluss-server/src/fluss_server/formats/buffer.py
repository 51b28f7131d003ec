"""What the formats accept as bytes."""

from fluss_server.runtime.disk import Buffer as Buffer
