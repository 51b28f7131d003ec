"""What CSV output has, CSV input reads back, null and empty text apart."""

from __future__ import annotations

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.cli.csv_records import join_record, split_record

_FIELDS = st.lists(st.none() | st.text(st.sampled_from('a,;\t"\n\r é\0')), min_size=1, max_size=6)


@settings(max_examples=examples(300))
@given(_FIELDS, st.sampled_from(",;\t"))
def test_records_read_back(fields: list[str | None], delimiter: str) -> None:
    assert split_record(join_record(fields, delimiter), delimiter) == fields


@settings(max_examples=examples(300))
@given(st.lists(st.text(st.sampled_from('a,"\n é')), min_size=2, max_size=6))
def test_python_reads_the_same_but_for_null(fields: list[str]) -> None:
    assert next(csv.reader(io.StringIO(join_record(fields), newline=""))) == fields
