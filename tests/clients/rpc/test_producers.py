"""Offsets of producers through the official Java clients."""

from __future__ import annotations

import pytest

from clients.rpc.client import JAVA, Client, ClientError, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode


class TestRegisterProducerOffsets:
    API = ApiKey.REGISTER_PRODUCER_OFFSETS
    CLIENTS = JAVA

    def test_the_first_registration_counts(self, client: Client, name: str) -> None:
        assert client.register_producer_offsets(name, [{"table_id": 1, "bucket": 0, "offset": 5}]) == "CREATED"
        again = client.register_producer_offsets(name, [{"table_id": 1, "bucket": 0, "offset": 9}])
        assert again == "ALREADY_EXISTS"
        assert client.producer_offsets(name) == [[1, 0, 5]]

    def test_a_bad_name(self, client: Client) -> None:
        with pytest.raises(ClientError) as error:
            client.register_producer_offsets("a/b", [])
        assert code_of(error) is ErrorCode.INVALID_PRODUCER_ID_EXCEPTION


class TestGetProducerOffsets:
    API = ApiKey.GET_PRODUCER_OFFSETS
    CLIENTS = JAVA

    def test_of_several_tables_and_of_nobody(self, client: Client, name: str) -> None:
        offsets = [{"table_id": table, "bucket": bucket, "offset": 10 * table} for table in (1, 2) for bucket in (0, 1)]
        client.register_producer_offsets(name, offsets)
        assert sorted(client.producer_offsets(name)) == [[1, 0, 10], [1, 1, 10], [2, 0, 20], [2, 1, 20]]
        assert client.producer_offsets(f"{name}_nobody") is None


class TestDeleteProducerOffsets:
    API = ApiKey.DELETE_PRODUCER_OFFSETS
    CLIENTS = JAVA

    def test_then_they_can_be_registered_again(self, client: Client, name: str) -> None:
        client.create_table(name, columns("a INT"))
        client.register_producer_offsets(name, [{"table_id": 1, "bucket": 0, "offset": 5}])
        client.delete_producer_offsets(name)
        client.delete_producer_offsets(name)
        assert client.producer_offsets(name) is None
        assert client.register_producer_offsets(name, []) == "CREATED"
