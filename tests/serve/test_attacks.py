"""What clients may do to a server; after each of them the next honest request is answered."""

import contextlib
import http.client
import json
import re
import resource
import socket
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import TABLE, Server, answer, images, objects, rows
from test_verbs import arrow_of, png, post

from narrows.cli import run
from narrows.data.schema import infer_schema
from narrows.data.writers import mixed_table
from narrows.detection.files import save_detector
from narrows.detection.fit import fit_detector
from narrows.serve import Limits
from narrows.serve.answers import ARROW, JSON, LINES, PNG
from narrows.serve.limits import LARGEST_HEAD

ROOT = Path(__file__).parents[2]
ROW = json.dumps(objects(rows(1, 1))[0]).encode()
TOKEN = "a token of no use".replace(" ", "-")


@pytest.fixture(autouse=True)
def well(request):
    """The server answers the next honest request, whatever the test did to it."""
    yield
    if "server" in request.fixturenames:
        assert request.getfixturevalue("server").is_well()


def sent(server, data: bytes) -> tuple[int, dict, bytes]:
    with server.connect() as line:
        with contextlib.suppress(ConnectionError):
            line.sendall(data)
        return answer(line)


def head(length: object, path: str = "/detect", media: str = JSON, *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {media}", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def problem(found: tuple[int, dict, bytes]) -> tuple[int, str]:
    """Status and sentence of a problem document."""
    status, headers, body = found
    assert headers["content-type"] == "application/problem+json"
    page = json.loads(body)
    assert page["status"] == status
    assert "Traceback" not in page["detail"]
    return status, page["detail"]


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_an_oversized_body_is_refused_by_its_head(server):
    status, said = problem(sent(server, head(10**12) + b"[" * 1000))
    assert (status, said) == (413, "the body has more than 100000 bytes, the most that are taken; send less at once")


def test_an_oversized_body_in_chunks_is_refused_on_the_way(server):
    chunk = b"%x\r\n%b\r\n" % (10_000, b"[" * 10_000)
    begin = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with server.connect() as line:
        with contextlib.suppress(ConnectionError):
            for part in (begin, *[chunk] * 10_000):
                line.sendall(part)
        assert answer(line)[0] in (413, 0)  # 0: it was cut off while it sent


def test_a_body_that_comes_with_its_head_is_no_head(server):
    body = json.dumps(objects(rows(1, 200)) * 5).encode()
    assert len(body) > LARGEST_HEAD
    with server.connect() as line:
        line.sendall(head(len(body), "/detect", JSON, "Connection: close") + body)
        assert answer(line)[0] == 200


def test_a_slow_body_is_cut_off(server):
    began = time.monotonic()
    with server.connect() as line:
        line.sendall(head(1000) + b"[")
        assert problem(answer(line))[0] == 408
    assert time.monotonic() - began < 12


def test_a_slow_head_is_cut_off(server):
    began = time.monotonic()
    with server.connect() as line:
        with contextlib.suppress(ConnectionError):
            for letter in b"POST /detect HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":
                line.sendall(bytes([letter]))
                time.sleep(0.1)
        assert answer(line)[0] == 0
    assert time.monotonic() - began < 12


def test_an_endless_head_is_cut_off(server):
    status, said = problem(sent(server, b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"a" * 2**20))
    assert status == 400
    assert "head of the request is too long" in said


def test_what_is_no_http_is_refused(server):
    assert problem(sent(server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"))[0] == 400


def test_an_answer_that_nobody_reads_is_given_up(server):
    raw = (json.dumps([objects(rows(1, 1))[0]] * 900)).encode()
    with server.connect() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        line.sendall((head(len(raw), "/detect?contributions=1") + raw) * 20)
        time.sleep(0.5)
        assert server.is_well()


def test_a_client_that_leaves_in_the_middle(server):
    raw = json.dumps(objects(rows(1, 200)) * 4).encode()
    for cut in (10, len(head(len(raw))) + 100, 10**9):
        for _ in range(10):
            with server.connect() as line:
                line.sendall((head(len(raw)) + raw)[:cut])
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    lines = json.dumps(objects(rows(1, 1))[0]).encode() + b"\n"
    begin = head(0, "/detect", LINES).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with server.connect() as line:
        line.sendall(begin + b"%x\r\n%b\r\n" % (len(lines), lines))
        assert line.recv(100).startswith(b"HTTP/1.1 200")


def test_ten_thousand_open_connections(server):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(10_000, most[1] - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most[1], most[1]))
    held = []
    try:
        for place in range(wanted):
            one = socket.socket()
            one.setblocking(False)
            held.append(one)
            one.connect_ex(("127.0.0.1", server.port))
            if place % 2000 == 1999:
                assert server.is_well()
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, most)


def test_many_slow_bodies_at_once(server):
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(server.connect()) for _ in range(200)]
        for line in lines:
            with contextlib.suppress(ConnectionError):
                line.sendall(head(90_000) + b"[" * 50_000)
        assert server.is_well()


def test_a_stream_is_answered_while_it_is_sent(server):
    begin = head(0, "/detect", LINES).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with server.connect() as line:
        line.sendall(begin)
        read = line.makefile("rb")
        for _ in range(3):
            line.sendall(b"%x\r\n%b\n\r\n" % (len(ROW) + 1, ROW))
            while b'"score"' not in read.readline():
                pass
        assert b'"error": "the request did not come within 3 seconds' in read.read()  # and ends when nothing comes


# --- bombs -----------------------------------------------------------------------------------------------------------


def test_zip_bombs(client):
    packed = zlib.compress(b"[" * 10**7)
    assert post(client("detector"), "detect", packed, "application/zip").status_code == 415
    headers = {"Content-Type": JSON, "Content-Encoding": "deflate"}
    assert client("detector").post("/detect", content=packed, headers=headers).status_code == 415


def chunked(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("model", ["images", "denoiser"])
def test_pixel_bombs(client, model):
    verb = "embed" if model == "images" else "denoise"
    for side in (2_000, 50_000, 2**31 - 1):
        said = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunked(b"IHDR", said) + chunked(b"IDAT", zlib.compress(b"\0" * 10**6))
        answered = post(client(model), verb, bomb + chunked(b"IEND", b""), PNG)
        assert answered.status_code == 422
        assert "at most 1048576 are taken" in answered.json()["detail"]
    text = chunked(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 10**7))
    good = png(images(0, 1)[0])
    answered = post(client(model), verb, good[:33] + text + good[33:], PNG)
    assert answered.status_code in (200, 422)


def test_many_pixels_in_many_images(client):
    small = client("denoiser", Limits(max_pixels=1000))
    assert "at most 1000" in post(small, "denoise", images(0, 16).tolist()).json()["detail"]
    made = client("images", Limits(max_pixels=1000)).post("/generate", params={"n": 16})
    assert "at most 15" in made.json()["detail"]
    assert post(small, "denoise", images(0, 15).tolist()).status_code == 200


def test_arrow_that_would_unpack_to_more_than_it_is(client):
    table = mixed_table(rows(1, 100), TABLE)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(table)
    assert "compressed" in post(client("detector"), "detect", bytes(sink.getvalue()), ARROW).json()["detail"]
    long = pa.array(["x" * 10**6])
    shared = pa.DictionaryArray.from_arrays(pa.array(np.zeros(5000, np.int32)), long)
    bomb = pa.table({"amount": shared, "visits": np.zeros(5000), "town": shared, "member": shared})
    began = time.monotonic()
    answered = post(client("detector"), "detect", arrow_of(bomb), ARROW)
    assert answered.status_code in (200, 422)
    numbers = pa.table(dict.fromkeys(("a", "b", "c"), shared))
    assert "where numbers belong" in post(client("numbers"), "embed", arrow_of(numbers), ARROW).json()["detail"]
    assert time.monotonic() - began < 10
    views = pa.table({"town": pa.array(["Rome"]).cast(pa.string_view())})
    assert "Arrow type" in post(client("detector"), "detect", arrow_of(views), ARROW).json()["detail"]
    nothing = pa.table({column.name: pa.nulls(10**6) for column in TABLE.columns})
    assert "the most that are taken" in post(client("detector"), "detect", arrow_of(nothing), ARROW).json()["detail"]


def test_deep_json(client):
    assert post(client("detector"), "detect", b"[" * 10**5).status_code == 400
    assert post(client("detector"), "detect", b'{"a":' * 10**5).status_code == 400
    assert post(client("images"), "embed", b"[" * 500 + b"]" * 500).status_code in (400, 422)
    assert post(client("detector"), "detect", b"1" * 10**5).status_code == 400


# --- what is fuzzed by hand ------------------------------------------------------------------------------------------

FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """A file with some bytes changed, or cut short."""
    changes = st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), min_size=1, max_size=8)

    def change(found) -> bytes:
        made, end = bytearray(data), found[1]
        for place, byte in found[0]:
            made[place] = byte
        return bytes(made[:end])

    return st.tuples(changes, st.one_of(st.just(len(data)), st.integers(0, len(data)))).map(change)


@FEW
@given(body=damaged(arrow_of(mixed_table(rows(1, 5), TABLE))))
def test_damaged_arrow(client, body):
    assert post(client("detector"), "detect", body, ARROW).status_code in (200, 422)


@FEW
@given(body=damaged(png(images(0, 1)[0])))
def test_damaged_png(client, body):
    assert post(client("images"), "embed", body, PNG).status_code in (200, 422)


@FEW
@given(body=damaged(json.dumps(objects(rows(1, 2))).encode()))
def test_damaged_json(client, body):
    assert post(client("detector"), "detect", body).status_code in (200, 400, 422)


CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@FEW
@given(row=st.fixed_dictionaries({column.name: CELLS for column in TABLE.columns}))
def test_any_cell(client, row):
    answered = post(client("detector"), "detect", json.dumps(row).encode())
    assert answered.status_code in (200, 400, 422)


# --- strangers -------------------------------------------------------------------------------------------------------


def test_the_token_is_asked_for_everywhere_but_at_health(client):
    guarded = client("detector", token=TOKEN)
    for path in ("/", "/model", "/metrics", "/openapi.json", "/nothing"):
        assert guarded.get(path).status_code == 401
    assert guarded.get("/health").status_code == guarded.get("/ready").status_code == 200
    for given_token in ("", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"):
        answered = guarded.post("/detect", content=ROW, headers={"Content-Type": JSON, "Authorization": given_token})
        assert answered.status_code == 401
        assert answered.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answered.text
    headers = {"Content-Type": JSON, "Authorization": f"bearer {TOKEN}"}
    assert guarded.post("/detect", content=ROW, headers=headers).status_code == 200


def test_no_path_of_the_machine_is_reached(server):
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/detect/../../etc/passwd", "//etc/passwd", "/\x01"):
        found = sent(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert found[0] in (400, 404)
        assert b"root" not in found[2]
    assert problem(sent(server, head(len(ROW), "/detect?model=/etc/passwd", JSON, "Connection: close") + ROW))[0] == 422


def test_another_host_is_not_answered(server):
    line = http.client.HTTPConnection("127.0.0.1", server.port)
    line.request("GET", "/model", headers={"Host": "evil.example"})
    assert line.getresponse().status == 421


def test_a_fault_of_ours_is_told_without_its_trace(client, monkeypatch, caplog):
    broken = client("detector", Limits(max_rows=77))

    def fail(*_, **__):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("narrows.apps.detect.findings", fail)
    answered = post(broken, "detect", ROW)
    assert answered.status_code == 500
    assert answered.json()["detail"] == "the server failed at this request; its log says why"
    assert "secret" in caplog.text


# --- the verb --------------------------------------------------------------------------------------------------------


def test_bad_words_are_refused(refused, here, files):
    model = files / "detector.safetensors"
    refused("serve", "none.safetensors", says="there is no file none.safetensors")
    refused("serve", model, "--port", "70000", says="--port was given as 70000; it must be at most 65535")
    refused("serve", model, "--host", "0.0.0.0", says="give --token-file, or --unprotected")
    refused("serve", model, "--host", "no.such.host.invalid", "--unprotected", says="cannot listen at")
    refused("serve", model, "--token-file", "t", says="--token-file t cannot be read")
    (here / "t").write_text("short")
    refused("serve", model, "--token-file", "t", says="at least 16 letters")
    refused("serve", model, "--max-rows", "0", says="--max-rows was given as 0")
    refused("serve", model, "--max-seconds", "nan", says="--max-seconds")
    refused("serve", model, "--max-connections", "10000000", says="this process may have")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused("serve", model, "--port", taken.getsockname()[1], says="in use")


def test_help_tells_of_the_limits(capfd):
    assert run(["serve", "--help"]) == 0
    assert "--max-pixels" in capfd.readouterr().out


def test_the_example_of_the_page_runs(tmp_path, capsys):
    plane = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    fitted = fit_detector(plane, infer_schema(plane, names=("x", "y")), "detector-without-network")
    save_detector(fitted, tmp_path / "plane.safetensors")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "serve.md").read_text(), re.DOTALL)
    one = Server(tmp_path / "plane.safetensors", "--no-batching")
    exec(compile(code.replace("127.0.0.1:8000", f"127.0.0.1:{one.port}"), "serve.md", "exec"), {})
    first, second = (line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines())
    assert float(first[0]) < float(second[0])
    assert (first[2], second[2]) == ("0", "1")
    assert second[3].startswith("x = 9, expected ")
    assert one.stop() == (0, "")
