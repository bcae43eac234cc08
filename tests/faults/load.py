"""The page under load: python -m tests.faults.load --clients=50 --seconds=300; needs [demo].

Clients upload good, broken and too large recordings, on the loopback address alone.
"""

import argparse
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np

from tests.trained_run import babble, write_wav

MEGABYTES, PORT = 1, 7897
PAGE = f"http://127.0.0.1:{PORT}/gradio_api"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = _recordings(Path(folder))
        command = [sys.executable, "-m", "sersl_jax.serve", f"--port={PORT}"]
        command.append(f"--max_megabytes={MEGABYTES}")
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _wait_until_up(server)
            return _measure(server.pid, files, chosen.clients, chosen.seconds)
        finally:
            server.kill()
            said = server.communicate()[1].decode()
            print(f"{said.count('Traceback')} tracebacks on stderr{said[-2000:]}")


def _recordings(folder: Path) -> dict[str, Path]:
    found = {"good": write_wav(folder / "good.wav", babble(2.0))}
    found |= {"long": write_wav(folder / "long.wav", babble(4.0))}
    names = {"text": b"hello", "empty": b"", "huge": bytes(2 << 20), "zeros": bytes(100_000)}
    for name, content in names.items():
        found[name] = folder / f"{name}.wav"
        found[name].write_bytes(content)
    found["nan"] = write_wav(folder / "nan.wav", np.full(16_000, np.nan))
    return found


def _wait_until_up(server: subprocess.Popen) -> None:
    limit = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < limit:
        try:
            httpx.get(f"http://127.0.0.1:{PORT}/", timeout=5)
            return
        except httpx.TransportError:
            time.sleep(0.5)
    raise RuntimeError("the page did not start")


def _measure(server: int, files: dict[str, Path], clients: int, seconds: float) -> int:
    end = time.monotonic() + min(20.0, seconds)
    _crowd(files, clients, end)  # until all that is made once is made
    before = _memory(server)
    counts, times = _crowd(files, clients, time.monotonic() + seconds)
    time.sleep(10)
    after = _memory(server)
    for answer, number in sorted(counts.items()):
        print(f"{number:>7} {answer}")
    if times:
        print(f"{len(times)} recognised; seconds: median {statistics.median(times):.1f}, "
              f"worst {max(times):.1f}")  # fmt: skip
    print(f"{clients} clients, {seconds:.0f} s; memory {before >> 20} MB, then {after >> 20} MB")
    own = [a for a in counts if re.search(r"\b5\d\d\b", a) and "queue is full" not in a]
    return int(bool(own) or after > 1.1 * before or not times)


def _crowd(files: dict[str, Path], clients: int, end: float) -> tuple[Counter, list[float]]:
    counts, times, lock = Counter(), [], threading.Lock()

    def visit(number: int) -> None:
        luck = random.Random(number)
        with httpx.Client(timeout=120) as client:
            while time.monotonic() < end:
                kind = luck.choice(["good"] * 4 + [*files])
                started = time.monotonic()
                try:
                    answer = _ask(client, files[kind])
                except httpx.TransportError as error:
                    answer = type(error).__name__
                with lock:
                    counts[f"{kind}: {answer}"] += 1
                    if answer == "complete":
                        times.append(time.monotonic() - started)
                if answer != "complete":
                    time.sleep(luck.uniform(0.2, 1.0))

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts, times


def _ask(client: httpx.Client, path: Path) -> str:
    """Uploads, asks, waits: how it ended."""
    with path.open("rb") as file:
        sent = client.post(f"{PAGE}/upload", files={"files": (path.name, file)})
    if sent.status_code != 200:
        return f"upload refused, {sent.status_code}"
    data = {"data": [{"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}]}
    asked = client.post(f"{PAGE}/call/recognise", json=data)
    if asked.status_code != 200:
        full = "queue is full" if "full" in asked.text.lower() else asked.text[:60]
        return f"{asked.status_code}, {full}"
    told = client.get(f"{PAGE}/call/recognise/{asked.json()['event_id']}").text
    return "complete" if "event: complete" in told else "told: " + told.strip()[-60:]


def _memory(process: int) -> int:
    """Resident bytes."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


if __name__ == "__main__":
    sys.exit(main())
