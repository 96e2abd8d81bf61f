"""The agent's own log, on standard error: lines for people, or one JSON object a line.

`auto` is text on a terminal and JSON elsewhere. Every line has time, level, message and, where it
is one of the documented events, its name.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
OURS = ("event", "situation")


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in UTC with milliseconds, level, logger, message, and what the event carries."""
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line |= {key: str(getattr(record, key)) for key in OURS if hasattr(record, key)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(style: str, level: str) -> None:
    """Log to standard error in `style` (auto, json, text) from `level` (debug, info, warn, error) on."""
    handler = logging.StreamHandler(sys.stderr)
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s") if text else Json())
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)
