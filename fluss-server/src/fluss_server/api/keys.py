"""The table of APIs: number, name, messages and versions of each.

Versions are those of Apache Fluss 0.9.1 (later APIs: 0 only). All released clients settle for them, and what the later
versions add (historical partitions, changing the bucket count, row TTL) is then never requested. The exception is
version 2 of PUT_KV, whose clients know STORAGE_BACKPRESSURE. Numbers 0 to 999 are reserved for the Kafka protocol.

APIs from :data:`FIRST_OWN_KEY` on are those of this project, for calls between its servers; Apache Fluss does not have
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from fluss_server.api import messages, own_messages

if TYPE_CHECKING:
    from google.protobuf.message import Message


FIRST_OWN_KEY = 20_000
FIRST_TOOL_KEY = 20_100
"""APIs of this project from here on are for tools such as the ``fluss`` command."""


SOFTWARE_NAME = "fluss-python"
"""What programs of this project call themselves in API_VERSIONS."""


class ApiKey(IntEnum):
    """Numbers of the APIs in a request header."""

    API_VERSIONS = 1000
    CREATE_DATABASE = 1001
    DROP_DATABASE = 1002
    LIST_DATABASES = 1003
    DATABASE_EXISTS = 1004
    CREATE_TABLE = 1005
    DROP_TABLE = 1006
    GET_TABLE_INFO = 1007
    LIST_TABLES = 1008
    LIST_PARTITION_INFOS = 1009
    TABLE_EXISTS = 1010
    GET_TABLE_SCHEMA = 1011
    GET_METADATA = 1012
    UPDATE_METADATA = 1013
    PRODUCE_LOG = 1014
    FETCH_LOG = 1015
    PUT_KV = 1016
    LOOKUP = 1017
    NOTIFY_LEADER_AND_ISR = 1018
    STOP_REPLICA = 1019
    ADJUST_ISR = 1020
    LIST_OFFSETS = 1021
    COMMIT_KV_SNAPSHOT = 1022
    GET_LATEST_KV_SNAPSHOTS = 1023
    GET_KV_SNAPSHOT_METADATA = 1024
    GET_FILESYSTEM_SECURITY_TOKEN = 1025
    INIT_WRITER = 1026
    COMMIT_REMOTE_LOG_MANIFEST = 1027
    NOTIFY_REMOTE_LOG_OFFSETS = 1028
    NOTIFY_KV_SNAPSHOT_OFFSET = 1029
    COMMIT_LAKE_TABLE_SNAPSHOT = 1030
    NOTIFY_LAKE_TABLE_OFFSET = 1031
    GET_LAKE_SNAPSHOT = 1032
    LIMIT_SCAN = 1033
    PREFIX_LOOKUP = 1034
    GET_DATABASE_INFO = 1035
    CREATE_PARTITION = 1036
    DROP_PARTITION = 1037
    AUTHENTICATE = 1038
    CREATE_ACLS = 1039
    LIST_ACLS = 1040
    DROP_ACLS = 1041
    LAKE_TIERING_HEARTBEAT = 1042
    CONTROLLED_SHUTDOWN = 1043
    ALTER_TABLE = 1044
    DESCRIBE_CLUSTER_CONFIGS = 1045
    ALTER_CLUSTER_CONFIGS = 1046
    ADD_SERVER_TAG = 1047
    REMOVE_SERVER_TAG = 1048
    REBALANCE = 1049
    LIST_REBALANCE_PROGRESS = 1050
    CANCEL_REBALANCE = 1051
    PREPARE_LAKE_TABLE_SNAPSHOT = 1052
    REGISTER_PRODUCER_OFFSETS = 1053
    GET_PRODUCER_OFFSETS = 1054
    DELETE_PRODUCER_OFFSETS = 1055
    ACQUIRE_KV_SNAPSHOT_LEASE = 1056
    RELEASE_KV_SNAPSHOT_LEASE = 1057
    DROP_KV_SNAPSHOT_LEASE = 1058
    GET_TABLE_STATS = 1059
    ALTER_DATABASE = 1060
    SCAN_KV = 1061
    GET_CLUSTER_HEALTH = 1062
    LIST_REMOTE_LOG_MANIFESTS = 1063
    LIST_KV_SNAPSHOTS = 1064
    ADD_SERVER_TAG_BY_RACK = 1065
    REMOVE_SERVER_TAG_BY_RACK = 1066
    REGISTER_SERVER = 20_000
    SERVER_HEARTBEAT = 20_001
    RESERVE_IDS = 20_002
    RESERVE_WRITER_IDS = 20_003
    LEADER_EPOCHS = 20_004
    FORWARD_CALL = 20_005
    UPDATE_SETTINGS = 20_006
    RESIGN_LEADERSHIPS = 20_007
    STAND_BY = 20_008
    DESCRIBE_SERVERS = 20_100
    DESCRIBE_BUCKETS = 20_101
    PLAN_REBALANCE = 20_102


BETWEEN_SERVERS = frozenset(
    {
        ApiKey.UPDATE_METADATA,
        ApiKey.NOTIFY_LEADER_AND_ISR,
        ApiKey.STOP_REPLICA,
        ApiKey.ADJUST_ISR,
        ApiKey.COMMIT_KV_SNAPSHOT,
        ApiKey.COMMIT_REMOTE_LOG_MANIFEST,
        ApiKey.NOTIFY_REMOTE_LOG_OFFSETS,
        ApiKey.NOTIFY_KV_SNAPSHOT_OFFSET,
        ApiKey.NOTIFY_LAKE_TABLE_OFFSET,
        ApiKey.CONTROLLED_SHUTDOWN,
        *(key for key in ApiKey if FIRST_OWN_KEY <= key < FIRST_TOOL_KEY),
    }
)
"""What only servers of the cluster may call."""


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """One API.

    Attributes:
        key: number in the request header.
        messages: name of its messages without ``Request`` or ``Response``.
        min_version: lowest version served.
        max_version: highest version served.
        max_request_bytes: longest request that is decoded; what the API needs is shorter.
    """

    key: ApiKey
    messages: str
    min_version: int
    max_version: int
    max_request_bytes: int

    @property
    def name(self) -> str:
        """Name of the API, for example ``GET_METADATA``."""
        return self.key.name

    @property
    def is_own(self) -> bool:
        """Whether Apache Fluss does not have the API."""
        return self.key >= FIRST_OWN_KEY

    @property
    def between_servers(self) -> bool:
        """Whether only servers of the cluster may call it."""
        return self.key in BETWEEN_SERVERS

    @property
    def request(self) -> type[Message]:
        """Class of the request message."""
        return self._message_class(f"{self.messages}Request")

    @property
    def response(self) -> type[Message]:
        """Class of the response message."""
        return self._message_class(f"{self.messages}Response")

    def _message_class(self, name: str) -> type[Message]:
        found: type[Message] = own_messages.message_class(name) if self.is_own else getattr(messages, name)
        return found


_MESSAGES_AND_MAX_VERSION: dict[ApiKey, tuple[str, int]] = {
    ApiKey.API_VERSIONS: ("ApiVersions", 0),
    ApiKey.CREATE_DATABASE: ("CreateDatabase", 0),
    ApiKey.DROP_DATABASE: ("DropDatabase", 0),
    ApiKey.LIST_DATABASES: ("ListDatabases", 0),
    ApiKey.DATABASE_EXISTS: ("DatabaseExists", 0),
    ApiKey.CREATE_TABLE: ("CreateTable", 0),
    ApiKey.DROP_TABLE: ("DropTable", 0),
    ApiKey.GET_TABLE_INFO: ("GetTableInfo", 0),
    ApiKey.LIST_TABLES: ("ListTables", 0),
    ApiKey.LIST_PARTITION_INFOS: ("ListPartitionInfos", 0),
    ApiKey.TABLE_EXISTS: ("TableExists", 0),
    ApiKey.GET_TABLE_SCHEMA: ("GetTableSchema", 0),
    ApiKey.GET_METADATA: ("Metadata", 0),
    ApiKey.UPDATE_METADATA: ("UpdateMetadata", 0),
    ApiKey.PRODUCE_LOG: ("ProduceLog", 0),
    ApiKey.FETCH_LOG: ("FetchLog", 0),
    ApiKey.PUT_KV: ("PutKv", 2),
    ApiKey.LOOKUP: ("Lookup", 1),
    ApiKey.NOTIFY_LEADER_AND_ISR: ("NotifyLeaderAndIsr", 0),
    ApiKey.STOP_REPLICA: ("StopReplica", 0),
    ApiKey.ADJUST_ISR: ("AdjustIsr", 0),
    ApiKey.LIST_OFFSETS: ("ListOffsets", 0),
    ApiKey.COMMIT_KV_SNAPSHOT: ("CommitKvSnapshot", 0),
    ApiKey.GET_LATEST_KV_SNAPSHOTS: ("GetLatestKvSnapshots", 0),
    ApiKey.GET_KV_SNAPSHOT_METADATA: ("GetKvSnapshotMetadata", 0),
    ApiKey.GET_FILESYSTEM_SECURITY_TOKEN: ("GetFileSystemSecurityToken", 0),
    ApiKey.INIT_WRITER: ("InitWriter", 0),
    ApiKey.COMMIT_REMOTE_LOG_MANIFEST: ("CommitRemoteLogManifest", 0),
    ApiKey.NOTIFY_REMOTE_LOG_OFFSETS: ("NotifyRemoteLogOffsets", 0),
    ApiKey.NOTIFY_KV_SNAPSHOT_OFFSET: ("NotifyKvSnapshotOffset", 0),
    ApiKey.COMMIT_LAKE_TABLE_SNAPSHOT: ("CommitLakeTableSnapshot", 0),
    ApiKey.NOTIFY_LAKE_TABLE_OFFSET: ("NotifyLakeTableOffset", 0),
    ApiKey.GET_LAKE_SNAPSHOT: ("GetLakeSnapshot", 0),
    ApiKey.LIMIT_SCAN: ("LimitScan", 0),
    ApiKey.PREFIX_LOOKUP: ("PrefixLookup", 1),
    ApiKey.GET_DATABASE_INFO: ("GetDatabaseInfo", 0),
    ApiKey.CREATE_PARTITION: ("CreatePartition", 0),
    ApiKey.DROP_PARTITION: ("DropPartition", 0),
    ApiKey.AUTHENTICATE: ("Authenticate", 0),
    ApiKey.CREATE_ACLS: ("CreateAcls", 0),
    ApiKey.LIST_ACLS: ("ListAcls", 0),
    ApiKey.DROP_ACLS: ("DropAcls", 0),
    ApiKey.LAKE_TIERING_HEARTBEAT: ("LakeTieringHeartbeat", 0),
    ApiKey.CONTROLLED_SHUTDOWN: ("ControlledShutdown", 0),
    ApiKey.ALTER_TABLE: ("AlterTable", 1),
    ApiKey.DESCRIBE_CLUSTER_CONFIGS: ("DescribeClusterConfigs", 0),
    ApiKey.ALTER_CLUSTER_CONFIGS: ("AlterClusterConfigs", 0),
    ApiKey.ADD_SERVER_TAG: ("AddServerTag", 0),
    ApiKey.REMOVE_SERVER_TAG: ("RemoveServerTag", 0),
    ApiKey.REBALANCE: ("Rebalance", 0),
    ApiKey.LIST_REBALANCE_PROGRESS: ("ListRebalanceProgress", 0),
    ApiKey.CANCEL_REBALANCE: ("CancelRebalance", 0),
    ApiKey.PREPARE_LAKE_TABLE_SNAPSHOT: ("PrepareLakeTableSnapshot", 0),
    ApiKey.REGISTER_PRODUCER_OFFSETS: ("RegisterProducerOffsets", 0),
    ApiKey.GET_PRODUCER_OFFSETS: ("GetProducerOffsets", 0),
    ApiKey.DELETE_PRODUCER_OFFSETS: ("DeleteProducerOffsets", 0),
    ApiKey.ACQUIRE_KV_SNAPSHOT_LEASE: ("AcquireKvSnapshotLease", 0),
    ApiKey.RELEASE_KV_SNAPSHOT_LEASE: ("ReleaseKvSnapshotLease", 0),
    ApiKey.DROP_KV_SNAPSHOT_LEASE: ("DropKvSnapshotLease", 0),
    ApiKey.GET_TABLE_STATS: ("GetTableStats", 0),
    ApiKey.ALTER_DATABASE: ("AlterDatabase", 0),
    ApiKey.SCAN_KV: ("ScanKv", 0),
    ApiKey.GET_CLUSTER_HEALTH: ("GetClusterHealth", 0),
    ApiKey.LIST_REMOTE_LOG_MANIFESTS: ("ListRemoteLogManifests", 0),
    ApiKey.LIST_KV_SNAPSHOTS: ("ListKvSnapshots", 0),
    ApiKey.ADD_SERVER_TAG_BY_RACK: ("AddServerTagByRack", 0),
    ApiKey.REMOVE_SERVER_TAG_BY_RACK: ("RemoveServerTagByRack", 0),
    ApiKey.REGISTER_SERVER: ("RegisterServer", 0),
    ApiKey.SERVER_HEARTBEAT: ("ServerHeartbeat", 0),
    ApiKey.RESERVE_IDS: ("ReserveIds", 0),
    ApiKey.RESERVE_WRITER_IDS: ("ReserveWriterIds", 0),
    ApiKey.LEADER_EPOCHS: ("LeaderEpochs", 0),
    ApiKey.FORWARD_CALL: ("ForwardCall", 0),
    ApiKey.RESIGN_LEADERSHIPS: ("ResignLeaderships", 0),
    ApiKey.STAND_BY: ("StandBy", 0),
    ApiKey.UPDATE_SETTINGS: ("UpdateSettings", 0),
    ApiKey.DESCRIBE_SERVERS: ("DescribeServers", 0),
    ApiKey.DESCRIBE_BUCKETS: ("DescribeBuckets", 0),
    ApiKey.PLAN_REBALANCE: ("PlanRebalance", 0),
}

_DEFAULT_MAX_REQUEST_BYTES = 64 << 10
_MAX_REQUEST_BYTES: dict[ApiKey, int] = {
    # Definitions: JSON with properties and comments.
    ApiKey.CREATE_DATABASE: 1 << 20,
    ApiKey.ALTER_DATABASE: 1 << 20,
    ApiKey.CREATE_TABLE: 1 << 20,
    ApiKey.ALTER_TABLE: 1 << 20,
    ApiKey.ALTER_CLUSTER_CONFIGS: 1 << 20,
    # Lists of tables, partitions or buckets, and filters.
    ApiKey.GET_METADATA: 1 << 20,
    ApiKey.FETCH_LOG: 1 << 20,
    ApiKey.INIT_WRITER: 256 << 10,
    ApiKey.LIMIT_SCAN: 256 << 10,
    ApiKey.LIST_OFFSETS: 256 << 10,
    ApiKey.GET_TABLE_STATS: 256 << 10,
    ApiKey.SCAN_KV: 256 << 10,
    # Between servers: lists of buckets of many tables, and definitions; the senders cut them into requests of less.
    **dict.fromkeys((key for key in BETWEEN_SERVERS if key < FIRST_OWN_KEY), 16 << 20),
    ApiKey.FORWARD_CALL: 16 << 20,
    ApiKey.RESIGN_LEADERSHIPS: 2 << 20,
    ApiKey.UPDATE_SETTINGS: 16 << 20,
    # As many as the client has: server.request.max-message-size is the bound.
    **dict.fromkeys(
        (
            ApiKey.PRODUCE_LOG,
            ApiKey.PUT_KV,
            ApiKey.LOOKUP,
            ApiKey.PREFIX_LOOKUP,
            ApiKey.CREATE_ACLS,
            ApiKey.DROP_ACLS,
            ApiKey.REGISTER_PRODUCER_OFFSETS,
        ),
        2**31 - 1,
    ),
}

API_SPECS: Mapping[ApiKey, ApiSpec] = MappingProxyType(
    {
        key: ApiSpec(key, name, 0, max_version, _MAX_REQUEST_BYTES.get(key, _DEFAULT_MAX_REQUEST_BYTES))
        for key, (name, max_version) in _MESSAGES_AND_MAX_VERSION.items()
    }
)
