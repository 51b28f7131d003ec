"""RPC methods about databases, tables and metadata, for clients of either role of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.coordinator.alter_requests import option_changes, table_changes
from fluss_server.coordinator.alterations import add_columns, change_bucket_count, change_database, change_options
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.catalog_view import check_partitioned, no_partition
from fluss_server.coordinator.ddl import DdlExecutor
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath, check_table_path
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc

if TYPE_CHECKING:
    pass


class CoordinatorService:
    """Databases, tables and metadata.

    Reads come from memory. There are no KV snapshots or lakes yet: requests about them get the response that Apache
    Fluss gives for a table that has none.

    Args:
        manager: loaded.
        ddl: makes the changes.
    """

    def __init__(self, manager: MetadataManager, ddl: DdlExecutor) -> None:
        self._manager = manager
        self._ddl = ddl

    # Databases

    @rpc(ApiKey.CREATE_DATABASE)
    async def create_database(self, request: pb.CreateDatabaseRequest, context: RequestContext) -> ResponseBody:
        descriptor = DatabaseDescriptor()
        if request.HasField("database_json"):
            descriptor = DatabaseDescriptor.from_json_bytes(request.database_json)
        await self._ddl.create_database(request.database_name, descriptor, ignore_if_exists=request.ignore_if_exists)
        return pb.CreateDatabaseResponse()

    @rpc(ApiKey.ALTER_DATABASE)
    async def alter_database(self, request: pb.AlterDatabaseRequest, context: RequestContext) -> ResponseBody:
        changes = option_changes(request.config_changes, ErrorCode.INVALID_CONFIG_EXCEPTION)
        comment = request.comment if request.HasField("comment") else None
        await self._ddl.alter_database(
            request.database_name,
            lambda before: change_database(before, changes, comment),
            ignore_if_not_exists=request.ignore_if_not_exists,
        )
        return pb.AlterDatabaseResponse()

    @rpc(ApiKey.DROP_DATABASE)
    async def drop_database(self, request: pb.DropDatabaseRequest, context: RequestContext) -> ResponseBody:
        await self._ddl.drop_database(
            request.database_name, ignore_if_not_exists=request.ignore_if_not_exists, cascade=request.cascade
        )
        return pb.DropDatabaseResponse()

    @rpc(ApiKey.LIST_DATABASES)
    def list_databases(self, request: pb.ListDatabasesRequest, context: RequestContext) -> ResponseBody:
        response = pb.ListDatabasesResponse()
        names = self._manager.databases()
        if not request.include_summary:
            response.database_name.extend(names)
            return response
        for name in names:
            response.database_summary.add(
                database_name=name,
                created_time=self._manager.database(name).created_time,
                table_count=len(self._manager.table_names(name)),
            )
        return response

    @rpc(ApiKey.DATABASE_EXISTS)
    def database_exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
        return pb.DatabaseExistsResponse(exists=self._manager.database_exists(request.database_name))

    @rpc(ApiKey.GET_DATABASE_INFO)
    def get_database_info(self, request: pb.GetDatabaseInfoRequest, context: RequestContext) -> ResponseBody:
        record = self._manager.database(request.database_name)
        return pb.GetDatabaseInfoResponse(
            database_json=record.descriptor.to_json_bytes(),
            created_time=record.created_time,
            modified_time=record.modified_time,
        )

    # Tables

    @rpc(ApiKey.CREATE_TABLE)
    async def create_table(self, request: pb.CreateTableRequest, context: RequestContext) -> ResponseBody:
        path = _path(request.table_path)
        check_table_path(path)
        descriptor = TableDescriptor.from_json_bytes(request.table_json)
        await self._ddl.create_table(path, descriptor, ignore_if_exists=request.ignore_if_exists)
        return pb.CreateTableResponse()

    @rpc(ApiKey.ALTER_TABLE)
    async def alter_table(self, request: pb.AlterTableRequest, context: RequestContext) -> ResponseBody:
        path = _path(request.table_path)
        check_table_path(path)
        changes = table_changes(request)
        ignore = request.ignore_if_not_exists
        if (options := changes.options) is not None:
            await self._ddl.alter_table(
                path, lambda table, settings: change_options(table, options, settings), ignore_if_not_exists=ignore
            )
        elif (count := changes.bucket_count) is not None:
            await self._ddl.alter_table(
                path, lambda table, settings: change_bucket_count(table, count, settings), ignore_if_not_exists=ignore
            )
        elif changes.columns:
            await self._ddl.alter_table(
                path, lambda table, _: add_columns(table, changes.columns), ignore_if_not_exists=ignore
            )
        return pb.AlterTableResponse()

    @rpc(ApiKey.DROP_TABLE)
    async def drop_table(self, request: pb.DropTableRequest, context: RequestContext) -> ResponseBody:
        await self._ddl.drop_table(_path(request.table_path), ignore_if_not_exists=request.ignore_if_not_exists)
        return pb.DropTableResponse()

    @rpc(ApiKey.GET_TABLE_INFO)
    def get_table_info(self, request: pb.GetTableInfoRequest, context: RequestContext) -> ResponseBody:
        table = self._table(request.table_path)
        return pb.GetTableInfoResponse(
            table_id=table.table_id,
            schema_id=table.schema_id,
            table_json=table.descriptor_json,
            created_time=table.created_time,
            modified_time=table.modified_time,
            bucket_count_epoch=table.bucket_count_epoch,
        )

    @rpc(ApiKey.LIST_TABLES)
    def list_tables(self, request: pb.ListTablesRequest, context: RequestContext) -> ResponseBody:
        return pb.ListTablesResponse(table_name=self._manager.table_names(request.database_name))

    @rpc(ApiKey.TABLE_EXISTS)
    def table_exists(self, request: pb.TableExistsRequest, context: RequestContext) -> ResponseBody:
        return pb.TableExistsResponse(exists=self._manager.find_table(_path(request.table_path)) is not None)

    @rpc(ApiKey.GET_TABLE_SCHEMA)
    def get_table_schema(self, request: pb.GetTableSchemaRequest, context: RequestContext) -> ResponseBody:
        table = self._manager.find_table(_path(request.table_path))
        if table is None:  # clients of Apache Fluss know this code from it
            raise FlussError(ErrorCode.SCHEMA_NOT_EXIST, f"table {_path(request.table_path)} does not exist")
        schema_id = request.schema_id if request.HasField("schema_id") else table.schema_id
        schema = self._manager.schema(table.table_id, schema_id)
        return pb.GetTableSchemaResponse(schema_id=schema_id, schema_json=schema.to_json_bytes())

    @rpc(ApiKey.GET_FILESYSTEM_SECURITY_TOKEN)
    def get_file_system_security_token(
        self, request: pb.GetFileSystemSecurityTokenRequest, context: RequestContext
    ) -> ResponseBody:
        """Local files need no token. Scanners of pyfluss request one at their start and fail without a response."""
        return pb.GetFileSystemSecurityTokenResponse(schema="file", token=b"")

    # What tables do not have yet

    @rpc(ApiKey.GET_LATEST_KV_SNAPSHOTS)
    def get_latest_kv_snapshots(self, request: pb.GetLatestKvSnapshotsRequest, context: RequestContext) -> ResponseBody:
        """Every bucket, none with a snapshot: readers then begin with the changelog."""
        table = self._table(request.table_path)
        if not table.has_primary_key:
            raise FlussError(
                ErrorCode.NON_PRIMARY_KEY_TABLE_EXCEPTION, f"table {table.path} has no primary key and no KV snapshots"
            )
        response = pb.GetLatestKvSnapshotsResponse(table_id=table.table_id)
        bucket_count = table.bucket_count
        if request.HasField("partition_name"):
            check_partitioned(table)
            partition = self._manager.find_partition(table, request.partition_name)
            if partition is None:
                raise no_partition(table, request.partition_name)
            response.partition_id = partition.partition_id
            bucket_count = self._ddl.bucket_count(partition)
        elif table.is_partitioned:
            raise FlussError(
                ErrorCode.PARTITION_NOT_EXISTS, f"table {table.path} is partitioned, but no partition is named"
            )
        for bucket in range(bucket_count):
            response.latest_snapshots.add(bucket_id=bucket)
        return response

    @rpc(ApiKey.GET_LAKE_SNAPSHOT)
    def get_lake_snapshot(self, request: pb.GetLakeSnapshotRequest, context: RequestContext) -> ResponseBody:
        table = self._table(request.table_path)
        raise FlussError(ErrorCode.LAKE_SNAPSHOT_NOT_EXIST, f"table {table.path} has no lake snapshot")

    def _table(self, path: pb.PbTablePath) -> TableInfo:
        return self._manager.table(_path(path))


def _path(path: pb.PbTablePath) -> TablePath:
    return TablePath(path.database_name, path.table_name)
