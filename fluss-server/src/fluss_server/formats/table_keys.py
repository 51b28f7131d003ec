"""Which encoding the keys of a table have (docs/formats/keys-and-buckets.md)."""

from __future__ import annotations

from collections.abc import Sequence

from fluss_server.formats.keys import KeyEncoder, encoder_choice, key_encoder
from fluss_server.model.table import TableDescriptor
from fluss_server.model.types import DataType


def primary_key_encoder(descriptor: TableDescriptor) -> KeyEncoder:
    """Encoder of the keys under which the rows of a primary-key table are stored, as its clients choose it.

    Raises:
        FlussError: ``INVALID_TABLE_EXCEPTION`` when the table's lake format cannot encode its key.
    """
    names = tuple(name for name in descriptor.schema.primary_key if name not in descriptor.partition_key)
    version = descriptor.properties.get("table.kv.format-version")
    lake = encoder_choice(
        int(version) if version is not None else None,
        descriptor.properties.get("table.datalake.format"),
        default_bucket_key=descriptor.bucket_key in ((), names),
    )
    return key_encoder(_types(descriptor, names), lake)


def bucket_key_encoder(descriptor: TableDescriptor) -> KeyEncoder:
    """Encoder of the bytes whose hash chooses the bucket; errors as above."""
    lake = encoder_choice(None, descriptor.properties.get("table.datalake.format"), default_bucket_key=True)
    return key_encoder(_types(descriptor, descriptor.bucket_key), lake)


def _types(descriptor: TableDescriptor, names: Sequence[str]) -> list[DataType]:
    return [descriptor.schema.types[index] for index in descriptor.schema.indexes_of(names)]
