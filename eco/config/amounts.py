"""Kinds of amounts: time spans, sizes, whole numbers. None of them guesses a unit."""

from __future__ import annotations

import re

from eco.config.kinds import Kind, wrong
from eco.config.tree import Plain, shown

MS = 0.001
MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
YEAR = 365 * DAY
KI, MI, GI = 1 << 10, 1 << 20, 1 << 30

_AMOUNT = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = rf"(?:{_AMOUNT}(?:ms|s|m|h|d))+"


def _digits(value: Plain) -> str:
    """A number or text as it was written; anything else as an empty text, which matches no pattern of an amount."""
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""


def duration(seconds: float) -> str:
    """Seconds as an operator would write them: `15s`, `3m`, `24h`, `100ms`."""
    milliseconds = round(seconds * 1000)
    unit = next(unit for unit in ("h", "m", "s", "ms") if milliseconds % _UNITS[unit] == 0) if milliseconds else "s"
    return f"{milliseconds // _UNITS[unit]}{unit}"


class Duration(Kind[float]):
    """A time span, read into seconds. `unit` is the one to suggest when it is missing."""

    def __init__(self, unit: str, least: float = 0.0, most: float = 10 * YEAR) -> None:
        self._unit = unit
        self._least = least
        self._most = most

    def read(self, value: Plain, at: str) -> float:
        """`90s`, `1h30m`, `0.5s`; 0 needs no unit."""
        seconds = self._seconds(value, at)
        if seconds < self._least:
            raise wrong(value, at, f"is too short; write at least {duration(self._least)}")
        if seconds > self._most:
            raise wrong(value, at, f"is too long; write at most {duration(self._most)}")
        return seconds

    def _seconds(self, value: Plain, at: str) -> float:
        text = _digits(value)
        if text == "0":
            return 0.0
        if re.fullmatch(_AMOUNT, text):
            raise wrong(value, at, f'"{text}" has no unit; write {text}{self._unit}')
        if not re.fullmatch(_DURATION, text):
            raise wrong(value, at, "is not a duration; write a number and a unit of ms, s, m, h or d, such as 90s")
        milliseconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(rf"({_AMOUNT})([a-z]+)", text))
        return round(milliseconds, 6) / 1000

    def write(self, value: float) -> Plain:
        """The span in its largest unit."""
        return duration(value)

    def schema(self) -> dict[str, object]:
        """A text with a unit, or 0."""
        return {"anyOf": [{"type": "string", "pattern": f"^{_DURATION}$"}, {"const": 0}]}


class Retention(Kind[str]):
    """A duration or a plain number; which of them is meant, another key says."""

    def read(self, value: Plain, at: str) -> str:
        """In etcd's own form: `1000`, `8h`."""
        if re.fullmatch(r"0|[1-9][0-9]{0,17}", shown(value)):
            return shown(value)
        return duration(Duration("h").read(value, at))

    def schema(self) -> dict[str, object]:
        """A text with a unit, or a number."""
        return {"anyOf": [{"type": "string", "pattern": f"^{_DURATION}$"}, {"type": "integer", "minimum": 0}]}


_MULTIPLES = {"": 1, "Ki": KI, "Mi": MI, "Gi": GI}
_SIZE = rf"({_AMOUNT}|[0-9]{{1,18}})(Ki|Mi|Gi|)"


class Size(Kind[int]):
    """An amount of bytes."""

    def __init__(self, least: int, most: int = 1 << 60) -> None:
        self._least = least
        self._most = most

    def read(self, value: Plain, at: str) -> int:
        """`2147483648`, `512Mi`, `1.5Gi`."""
        match = re.fullmatch(_SIZE, _digits(value))
        if match is None or not (amount := float(match[1]) * _MULTIPLES[match[2]]).is_integer():
            raise wrong(value, at, f"is not a size; write {self._guess(_digits(value))}")
        if not self._least <= amount <= self._most:
            raise wrong(value, at, f"is out of range; write from {self._least} to {self._most} bytes")
        return int(amount)

    @staticmethod
    def _guess(text: str) -> str:
        loose = re.fullmatch(rf"({_AMOUNT}) ?([kmg])i?(?:b(?:ytes)?)?", text, re.IGNORECASE)
        return f"{loose[1]}{loose[2].upper()}i" if loose else "plain bytes or a unit: 512Mi, 2Gi"

    def schema(self) -> dict[str, object]:
        """Plain bytes, or a text with a unit."""
        units = {"type": "string", "pattern": f"^{_SIZE}$"}
        return {"anyOf": [{"type": "integer", "minimum": self._least, "maximum": self._most}, units]}


class Number(Kind[int]):
    """A whole number."""

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def read(self, value: Plain, at: str) -> int:
        """Decimal digits, without a leading zero that some YAML readers take for octal."""
        text = _digits(value)
        if not re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text):
            meant = text.replace("_", "").lstrip("0")
            cure = meant if re.fullmatch("[0-9]{1,18}", meant) else f"one from {self._least} to {self._most}"
            raise wrong(value, at, f"is not a whole number in decimal; write {cure}")
        if not self._least <= int(text) <= self._most:
            raise wrong(value, at, f"is out of range; write from {self._least} to {self._most}")
        return int(text)

    def schema(self) -> dict[str, object]:
        """An integer within bounds."""
        return {"type": "integer", "minimum": self._least, "maximum": self._most}
