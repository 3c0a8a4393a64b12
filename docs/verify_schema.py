"""Writes the JSON Schema of `remediate verify --format json`: python docs/verify_schema.py"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from remediate.report.formats import document

PAGE = Path(__file__).with_name("verify-schema.json")


def schema() -> str:
    return json.dumps(document.json_schema(), indent=2, sort_keys=True) + "\n"


def main() -> int:
    PAGE.write_text(schema())
    return 0


if __name__ == "__main__":
    sys.exit(main())
