"""Files made wrong: bytes of any file, cells of a table, values of JSON."""

import copy
import csv
import io
import json
import random
from collections.abc import Callable
from typing import Any

_VALUES = (
    "", "0", "-1", "1e308", "-1e400", "nan", "inf", "-nan(ind)", "9" * 400, "ä\u202e\U0001f600",
    '"', "'", "a\nb", "../../../etc/passwd", "\x00", "x" * 100_000, "1,5", "0x10", "None",
    "True", " 7 ", "=1+1",
)  # fmt: skip
_JSON = (
    None, True, -1, 0, 2**70, 1e308, float("nan"), "", "ä", "../../etc", [], {}, [[]], {"a": 1},
    [None], "float64", 10**9,
)  # fmt: skip


def of_bytes(content: bytes, luck: random.Random, most: int = 8) -> bytes:
    """A few changes anywhere, or in the first bytes, where headers are."""
    data = bytearray(content)
    for _ in range(luck.randint(1, most)):
        if not data:
            break
        end = luck.choice((64, 512, len(data)))
        at = luck.randrange(min(end, len(data)))
        size = luck.choice((1, 2, 4, 8, 100, 5000))
        change = luck.randrange(6)
        if change == 0:
            data[at] ^= 1 << luck.randrange(8)
        elif change == 1:
            data[at : at + size] = luck.randbytes(size)
        elif change == 2:
            data[at : at + size] = luck.choice((b"\x00", b"\xff", b"\x7f")) * min(size, 8)
        elif change == 3:
            del data[at : at + size]
        elif change == 4:
            data[at:at] = data[at : at + size]
        else:
            del data[luck.randrange(len(data)) :]
    return bytes(data)


def of_table(content: bytes, luck: random.Random) -> bytes:
    """Cells, rows, columns, order, quotes, line ends, encoding; sometimes bytes."""
    if luck.random() < 0.3:
        return of_bytes(content, luck)
    rows = [*csv.reader(io.StringIO(content.decode()))]
    for _ in range(luck.randint(1, 4)):
        luck.choice(_TABLE)(rows, luck)
    out = io.StringIO()
    end = luck.choice(("\n", "\r\n", "\r"))
    quoting = luck.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    writer = csv.writer(out, delimiter=luck.choice(",,,,;\t"), lineterminator=end, quoting=quoting)
    writer.writerows(rows)
    encoding = luck.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))
    return out.getvalue().encode(encoding, errors="replace")


def _cell(rows: list[list[str]], luck: random.Random) -> None:
    if row := luck.choice(rows or [[]]):
        row[luck.randrange(len(row))] = luck.choice(_VALUES)


def _column(rows: list[list[str]], luck: random.Random) -> None:
    at, value = luck.randrange(200), luck.choice(_VALUES)
    for row in rows[1:]:
        if at % max(len(rows[0]), 1) < len(row):
            row[at % max(len(rows[0]), 1)] = value


def _drop_column(rows: list[list[str]], luck: random.Random) -> None:
    at = luck.randrange(200)
    for row in rows:
        del row[at % max(len(row), 1) : at % max(len(row), 1) + 1]


def _drop_rows(rows: list[list[str]], luck: random.Random) -> None:
    at = luck.randrange(len(rows) + 1)
    del rows[at : at + luck.choice((1, 3, 1000))]


def _repeat_rows(rows: list[list[str]], luck: random.Random) -> None:
    rows += [[*luck.choice(rows)] for _ in range(luck.choice((1, 5, 500)))] if rows else []


def _shuffle(rows: list[list[str]], luck: random.Random) -> None:
    tail = rows[1:]
    luck.shuffle(tail)
    rows[1:] = tail


def _rename(rows: list[list[str]], luck: random.Random) -> None:
    if rows and rows[0]:
        rows[0][luck.randrange(len(rows[0]))] = luck.choice((*rows[0], "", " clip ", "CLIP"))


def _widen(rows: list[list[str]], luck: random.Random) -> None:
    for row in rows[: luck.choice((1, len(rows)))]:
        row += ["1"] * luck.choice((1, 40))


_TABLE: tuple[Callable[[list[list[str]], random.Random], None], ...] = (
    _cell, _cell, _column, _drop_column, _drop_rows, _repeat_rows, _shuffle, _rename, _widen,
)  # fmt: skip


def of_json(content: bytes, luck: random.Random) -> bytes:
    """Values of other types and sizes, keys gone; sometimes bytes."""
    if luck.random() < 0.2:
        return of_bytes(content, luck)
    document = {"": json.loads(content)}
    for _ in range(luck.randint(1, 3)):
        holder, key = luck.choice([*_places(document)])
        if luck.random() < 0.2 and holder is not document:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(luck.choice(_JSON))
    return json.dumps(document[""]).encode()


def _places(value: Any):
    """Every place of a JSON document, at most 50 of one list."""
    keys = list(value) if isinstance(value, dict) else range(min(len(value), 50))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
