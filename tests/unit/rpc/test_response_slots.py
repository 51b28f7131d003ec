"""Whose answer may take memory."""

from __future__ import annotations

import asyncio

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.response_slots import ResponseSlots
from rpc_support import async_test

A, B, C = object(), object(), object()


def _gone() -> FlussError:
    return FlussError(ErrorCode.NETWORK_EXCEPTION, "gone")


async def _taken(turns: ResponseSlots, *requests: object) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(turns.take(request)) for request in requests]
    await asyncio.sleep(0)  # each waits now
    return tasks


@async_test
async def test_turns_go_round_in_the_order_of_the_requests() -> None:
    turns = ResponseSlots(lambda: True)
    assert turns.try_take(A)
    assert turns.try_take(A)
    assert not turns.try_take(B)
    first, second = await _taken(turns, B, C)
    assert turns.end()
    assert not turns.try_take(C)  # b has waited for longer
    turns.give()
    await first
    turns.give()  # b's turn is not over
    assert not second.done()
    assert turns.try_take(B)
    assert turns.end()
    turns.give()
    await second
    assert turns.holder is C
    assert not turns.end()


@async_test
async def test_nobody_has_a_turn_while_the_client_does_not_keep_up() -> None:
    keeps_up = False
    turns = ResponseSlots(lambda: keeps_up)
    assert not turns.try_take(A)
    (waiting,) = await _taken(turns, A)
    turns.give()
    assert turns.holder is None
    keeps_up = True
    turns.give()
    await waiting
    assert turns.holder is A


@async_test
async def test_a_request_that_was_given_up_is_passed_over() -> None:
    turns = ResponseSlots(lambda: True)
    assert turns.try_take(A)
    first, second = await _taken(turns, B, C)
    first.cancel()
    await asyncio.sleep(0)
    assert turns.end()
    turns.give()
    await second
    assert turns.holder is C


@async_test
async def test_waits_end_with_an_error_when_the_client_is_gone() -> None:
    turns = ResponseSlots(lambda: True)
    assert turns.try_take(A)
    (waiting,) = await _taken(turns, B)
    turns.refuse(_gone)
    with pytest.raises(FlussError) as caught:
        await waiting
    assert caught.value.code is ErrorCode.NETWORK_EXCEPTION
    assert not turns.end()
