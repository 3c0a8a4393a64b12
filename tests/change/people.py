"""People with SSH keys, and the file that says which of them count."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class People:
    folder: Path
    lines: dict[str, str] = field(default_factory=dict)

    @property
    def allowed_signers(self) -> Path:
        return self.folder / "allowed_signers"

    def add(self, name: str, *, options: str = "", principals: str = "") -> Path:
        """Their private key. ``options``: as in ssh-keygen(1), ALLOWED SIGNERS."""
        key = self.folder / name
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], check=True)
        public = " ".join(key.with_name(f"{name}.pub").read_text().split()[:2])
        self.lines[name] = " ".join(filter(None, [principals or name, options, public]))
        self.write()
        return key

    def strike_out(self, name: str) -> None:
        del self.lines[name]
        self.write()

    def write(self) -> None:
        self.allowed_signers.write_text("".join(f"{line}\n" for line in self.lines.values()))
