"""RPC methods about partitions."""

from __future__ import annotations

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.partitions import PartitionExecutor
from fluss_server.model.identifiers import TablePath
from fluss_server.model.partition import HISTORICAL, check_partial_spec, matches
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc


class PartitionService:
    """Creates, drops and lists partitions."""

    def __init__(self, manager: MetadataManager, executor: PartitionExecutor) -> None:
        self._manager = manager
        self._executor = executor

    @rpc(ApiKey.CREATE_PARTITION)
    async def create_partition(self, request: pb.CreatePartitionRequest, context: RequestContext) -> ResponseBody:
        # The name of the flag is wrong on the wire: it means "ignore if it exists".
        await self._executor.create(
            _path(request.table_path), _spec(request.partition_spec), ignore_if_exists=request.ignore_if_not_exists
        )
        return pb.CreatePartitionResponse()

    @rpc(ApiKey.DROP_PARTITION)
    async def drop_partition(self, request: pb.DropPartitionRequest, context: RequestContext) -> ResponseBody:
        await self._executor.drop(
            _path(request.table_path), _spec(request.partition_spec), ignore_if_not_exists=request.ignore_if_not_exists
        )
        return pb.DropPartitionResponse()

    @rpc(ApiKey.LIST_PARTITION_INFOS)
    def list_partition_infos(self, request: pb.ListPartitionInfosRequest, context: RequestContext) -> ResponseBody:
        """Partitions by id, all of them or those with the given values of some columns."""
        table = self._manager.table(_path(request.table_path))
        partitions = self._manager.partitions(table)
        key = table.descriptor.partition_key
        wanted = _spec(request.partial_partition_spec) if request.HasField("partial_partition_spec") else {}
        check_partial_spec(key, wanted)
        response = pb.ListPartitionInfosResponse()
        for partition in partitions:
            if partition.name != HISTORICAL and matches(key, partition, wanted):
                entry = response.partitions_info.add(
                    partition_id=partition.partition_id, bucket_count=self._executor.bucket_count(partition)
                )
                for name, value in zip(key, partition.values, strict=True):
                    entry.partition_spec.partition_key_values.add(key=name, value=value)
        return response


def _path(path: pb.PbTablePath) -> TablePath:
    return TablePath(path.database_name, path.table_name)


def _spec(spec: pb.PbPartitionSpec) -> dict[str, str]:
    return {entry.key: entry.value for entry in spec.partition_key_values}
