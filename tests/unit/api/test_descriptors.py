"""fluss.proto, the files made from it, and the message classes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import FieldDescriptor

from fluss_server.api import messages as pb

TOOL = Path(__file__).parents[3] / "fluss-server" / "tools" / "build_descriptors.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_descriptors", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_files_are_what_the_script_makes(tool: ModuleType) -> None:
    for name, content in tool.build().items():
        assert (tool.API / name).read_bytes() == content, f"{name}: run {TOOL.name}"
    assert tool.main(["--check"]) == 0


def test_check_reports_stale_files(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fluss.proto").write_text('syntax = "proto2"; package p; message A { optional int32 a = 1; }')
    monkeypatch.setattr(tool, "API", tmp_path)
    monkeypatch.setattr(tool.build, "__defaults__", (tmp_path,))
    assert tool.main(["--check"]) == 1
    assert "fluss.binpb" in capsys.readouterr().err
    assert tool.main([]) == 0
    assert tool.main(["--check"]) == 0


def test_the_schema_is_complete() -> None:
    assert len(pb.message_names()) == 214
    fields = sum(len(getattr(pb, name).DESCRIPTOR.fields) for name in pb.message_names())
    assert fields == 590


def test_presence_and_packing_follow_the_schema() -> None:
    bucket = pb.PbProduceLogRespForBucket(bucket_id=1)
    assert not bucket.HasField("error_code")
    assert pb.MetadataRequest(partitions_id=[31, 300]).SerializeToString() == bytes.fromhex("1a031fac02")
    assert pb.LakeTieringHeartbeatRequest(force_finished_tables=[1, 2]).SerializeToString() == b"\x28\x01\x28\x02"
    assert not pb.PbTablePath().IsInitialized()


def test_java_options_are_kept() -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    file = FileDescriptorProto()
    pb.pool().FindFileByName(pb.FILE_NAME).CopyToProto(file)
    assert file.options.java_package == "io.fluss.rpc.proto"
    assert file.options.java_multiple_files


def test_every_field_type_is_one_the_wire_format_needs() -> None:
    types = {field.type for name in pb.message_names() for field in getattr(pb, name).DESCRIPTOR.fields}
    assert types == {
        FieldDescriptor.TYPE_DOUBLE,
        FieldDescriptor.TYPE_FLOAT,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_BYTES,
        FieldDescriptor.TYPE_MESSAGE,
    }


def test_a_class_is_the_same_at_every_access() -> None:
    assert pb.TableExistsRequest is pb.TableExistsRequest


def test_threads_share_the_classes() -> None:
    code = """if True:
        import threading
        from fluss_server.api import messages as pb
        barrier = threading.Barrier(8)
        found = []
        def load():
            barrier.wait()
            found.append((pb.MetadataResponse, pb.PbServerNode))
        threads = [threading.Thread(target=load) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(found) == 8 and len(set(found)) == 1
        found[0][0]().tablet_servers.append(found[7][1](node_id=1, host="h", port=2))
    """
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0


def test_unknown_names_are_attribute_errors() -> None:
    for name in ("NoSuchMessage", "_private"):
        with pytest.raises(AttributeError):
            getattr(pb, name)
    assert "MetadataRequest" in dir(pb)


def test_importing_the_api_does_not_import_protobuf() -> None:
    code = "import sys, fluss_server.api.messages, fluss_server.api.keys; sys.exit('google.protobuf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        'syntax = "proto3";',
        'syntax = "proto2"; message A { int32 a = 1; }',
        'syntax = "proto2"; message A { optional Unknown a = 1; }',
        'syntax = "proto2"; message A { optional int32 a = 1; optional int32 b = 1; }',
        'syntax = "proto2"; message A { optional int32 a = 1; optional int32 a = 2; }',
        'syntax = "proto2"; message A {} message A {}',
        'syntax = "proto2"; message A { optional int32 a = 1;',
        'syntax = "proto2"; option go_package = "x";',
        'syntax = "proto2"; enum A {}',
        'syntax = "proto2"; message A { repeated int32 a = 1 [packed = false]; }',
        "syntax = $;",
    ],
)
def test_the_parser_refuses_what_it_does_not_know(tool: ModuleType, text: str) -> None:
    with pytest.raises(tool.ProtoSyntaxError):
        tool.parse_proto(text, "x.proto")
