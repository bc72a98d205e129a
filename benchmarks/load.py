"""A client of its own process for `serve.py`: so many connections, each with one request at a time, over raw sockets.

    python benchmarks/load.py HOST PORT CONNECTIONS SECONDS < bodies

Standard input holds the bodies, one a line, which go round; standard output gets one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

WARM_UP = 0.1  # of the seconds


async def one(host: str, port: int, heads: list[bytes], until: float, took: list[tuple[float, float]]) -> int:
    """Ask until the time is up; return how many answers were not 200."""
    reader, writer = await asyncio.open_connection(host, port)
    bad = place = 0
    while (began := time.perf_counter()) < until:
        writer.write(heads[place % len(heads)])
        place += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        bad += not head.startswith(b"HTTP/1.1 200")
        took.append((began, time.perf_counter() - began))
    writer.close()
    return bad


async def main(host: str, port: int, connections: int, seconds: float) -> None:
    bodies = sys.stdin.buffer.read().splitlines()
    requests = [
        b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        for body in bodies
    ]
    took: list[tuple[float, float]] = []
    began = time.perf_counter()
    until = began + seconds
    shares = [requests[place::connections] or requests for place in range(connections)]
    bad = sum(await asyncio.gather(*(one(host, port, share, until, took) for share in shares)))
    end = time.perf_counter()
    start = began + WARM_UP * seconds
    found = sorted(1e3 * delay for when, delay in took if when >= start)
    figures = {
        "requests": len(found),
        "requests_a_second": round(len(found) / (end - start), 1),
        "milliseconds_50": round(found[len(found) // 2], 2),
        "milliseconds_99": round(found[int(0.99 * len(found))], 2),
        "milliseconds_largest": round(found[-1], 2),
        "answers_other_than_200": bad,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
