"""LogStore: the segmented, indexed, recoverable log of one bucket. Start reading at :mod:`fluss_server.log.log_tablet`."""
