"""GET_METADATA and INIT_WRITER: what clients request from any server before they read and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cluster.messages import BucketMetadata, ServerNode
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath, no_partition, no_partition_with_id
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableInfo
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.tablet.writer_ids import WriterIds

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer


class ClusterMetadata(Protocol):
    """What clients may know of the cluster; see ``MetadataCache``."""

    @property
    def coordinator(self) -> ServerNode | None: ...

    @property
    def servers(self) -> Mapping[int, ServerNode]: ...

    def find_table(self, path: TablePath) -> TableInfo | None: ...

    def find_partition(self, table_id: int, name: str) -> PartitionInfo | None: ...

    def partition(self, partition_id: int) -> PartitionInfo | None: ...

    def buckets(self, table_id: int, partition_id: int | None) -> Sequence[BucketMetadata]: ...


class MetadataService:
    """Serves the metadata cache of a server.

    Args:
        metadata: what this server knows.
        server_id: of this server; its listeners without an advertised address are given as the client reached them.
        writer_ids: for INIT_WRITER.
    """

    def __init__(self, metadata: ClusterMetadata, server_id: int, writer_ids: WriterIds) -> None:
        self._metadata = metadata
        self._server_id = server_id
        self._writer_ids = writer_ids

    @rpc(ApiKey.GET_METADATA)
    def get_metadata(self, request: pb.MetadataRequest, context: RequestContext) -> ResponseBody:
        """Servers, and the requested tables and partitions with their buckets.

        Cheap: clients in trouble send it all the time.
        """
        response = pb.MetadataResponse()
        coordinator = self._metadata.coordinator
        if coordinator is not None and (address := self._address(coordinator, context)) is not None:
            server = response.coordinator_server
            server.node_id, (server.host, server.port) = coordinator.server_id, address
        for node in self._metadata.servers.values():
            if (address := self._address(node, context)) is not None:
                response.tablet_servers.add(node_id=node.server_id, host=address[0], port=address[1])
        # Each table once, so that a small request cannot make a response of any size.
        for table_path in {(path.database_name, path.table_name): path for path in request.table_path}.values():
            table = self._table(TablePath(table_path.database_name, table_path.table_name))
            entry = response.table_metadata.add(
                table_path=table_path,
                table_id=table.table_id,
                schema_id=table.schema_id,
                table_json=table.descriptor_json,
                created_time=table.created_time,
                modified_time=table.modified_time,
                bucket_count_epoch=table.bucket_count_epoch,
            )
            _add_buckets(entry.bucket_metadata, self._metadata.buckets(table.table_id, None))
        for partition in self._partitions(request):
            buckets = self._metadata.buckets(partition.table_id, partition.partition_id)
            described = response.partition_metadata.add(
                table_id=partition.table_id,
                partition_name=partition.name,
                partition_id=partition.partition_id,
                bucket_count=len(buckets),
            )
            _add_buckets(described.bucket_metadata, buckets)
        return response

    def _address(self, node: ServerNode, context: RequestContext) -> tuple[str, int] | None:
        """Host and port of a server for the clients of a listener; None when it has no such listener."""
        endpoint = node.endpoint(context.listener)
        if endpoint is not None:
            return endpoint.host, endpoint.port
        return (context.local_host, context.local_port) if node.server_id == self._server_id else None

    def _table(self, path: TablePath) -> TableInfo:
        table = self._metadata.find_table(path)
        if table is None:
            raise FlussError(ErrorCode.TABLE_NOT_EXIST, f"table {path} does not exist")
        return table

    def _partitions(self, request: pb.MetadataRequest) -> list[PartitionInfo]:
        """The partitions that are requested by name or id, each once; ``PARTITION_NOT_EXISTS`` if one is unknown."""
        found: dict[int, PartitionInfo] = {}
        for path in request.partitions_path:
            table = self._metadata.find_table(TablePath(path.database_name, path.table_name))
            partition = None if table is None else self._metadata.find_partition(table.table_id, path.partition_name)
            if partition is None:
                raise no_partition(TablePath(path.database_name, path.table_name), path.partition_name)
            found[partition.partition_id] = partition
        for partition_id in request.partitions_id:
            partition = self._metadata.partition(partition_id)
            if partition is None or not self._metadata.buckets(partition.table_id, partition_id):
                raise no_partition_with_id(partition_id)
            found[partition_id] = partition
        return list(found.values())

    @rpc(ApiKey.INIT_WRITER)
    async def init_writer(self, request: pb.InitWriterRequest, context: RequestContext) -> ResponseBody:
        return pb.InitWriterResponse(writer_id=await self._writer_ids.take())


def _add_buckets(
    entries: RepeatedCompositeFieldContainer[pb.PbBucketMetadata], buckets: Sequence[BucketMetadata]
) -> None:
    for bucket in buckets:
        entries.add(
            bucket_id=bucket.bucket,
            leader_id=bucket.leader,
            replica_id=bucket.replicas,
            leader_epoch=bucket.leader_epoch,
        )
