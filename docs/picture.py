"""Records the demo's terminal as docs/demo.svg: python docs/picture.py"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from remediate.cli.common import interruptible
from remediate.lab.embedded.demo import demo


def main() -> int:
    console = Console(record=True, width=100, highlight=False, file=io.StringIO(), force_terminal=True)
    status = demo(console, interruptible, broken=False, keep=None)
    picture = console.export_svg(title="remediate demo")
    # Whoever looks at the picture fetches nothing: the reader's own monospace font does.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    Path(__file__).with_name("demo.svg").write_text(picture)
    return status


if __name__ == "__main__":
    sys.exit(main())
