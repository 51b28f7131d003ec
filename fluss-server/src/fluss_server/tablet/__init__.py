"""TabletServer: the replicas of this server and the services that clients call on them."""
