"""LogStore: the segmented, indexed, recoverable log of one bucket. Begin with :mod:`fluss_server.log.log_tablet`."""
