"""Templates are the only printers of configuration, and this is the only importer of jinja2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import walk_tb
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment

from remediate import errors
from remediate.model.rule import PortRange
from remediate.model.site import IPNetwork

STARTER = Path(__file__).parent / "starter" / "templates"


class Renderer:
    """Renders ``<platform>/<control>.j2``, from the user's folder first, then from the ones that come along."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise errors.TemplateError(
                "the templates folder does not exist", where=str(folder), next="name an existing folder"
            )
        self.folder = folder
        self.folders = [f for f in (folder, STARTER) if f is not None]
        self._loader = _Loader(self.folders)
        self._environment = ImmutableSandboxedEnvironment(
            loader=self._loader,
            undefined=StrictUndefined,
            autoescape=False,  # device configuration, not HTML; names are validated by the inventory
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters |= {"net": net, "ports": ports}

    def render(self, platform: str, control: str, **context: Any) -> str:
        name = f"{platform}/{control}.j2"
        try:
            return self._environment.get_template(name).render(**context)
        except TemplateNotFound as error:
            if error.name != name:
                raise errors.TemplateError(
                    f"it includes {error.name}, which is in no templates folder",
                    where=_where(error, name),
                    next=f"write it to {self.folders[0] / str(error.name)}, or mend the template",
                ) from error
            where = " or ".join(str(folder / name) for folder in self.folders)
            raise errors.TemplateError(
                f"there is no template for control {control} on platform {platform}", where=where, next="write it there"
            ) from error
        except Exception as error:  # whatever an expression in somebody's template can raise
            said = error.message if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            raise errors.TemplateError(
                f"the template does not render: {said}", where=_where(error, name), next="mend the template"
            ) from error

    @property
    def used(self) -> dict[str, str]:
        """The sources of the templates that were rendered until now, what they include and import among them."""
        return dict(self._loader.used)

    def source(self, name: str) -> str | None:
        """``name``: ``<platform>/<control>.j2``. None: there is no such template, or it cannot be read."""
        try:
            return self._loader.get_source(self._environment, name)[0]
        except (TemplateNotFound, OSError, ValueError):  # ValueError: it is not UTF-8
            return None


class _Loader(FileSystemLoader):
    """Remembers what was loaded: the environment asks for each template once."""

    def __init__(self, folders: Sequence[Path]) -> None:
        super().__init__(folders)
        self.used: dict[str, str] = {}

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        found = super().get_source(environment, template)
        self.used[template] = found[0]
        return found


def _where(error: BaseException, name: str) -> str:
    """``cisco_ios/acl.j2, line 7``: jinja2 puts the template's own lines into the traceback."""
    line = getattr(error, "lineno", None)
    for frame, number in walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename).as_posix().endswith(f"/{name}"):
            line = number
    return f"{name}, line {line}" if line else name


def net(network: IPNetwork) -> str:
    """``10.20.0.0/24``, and a single address without its prefix length."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def ports(ranges: Sequence[PortRange]) -> list[str]:
    return [str(r.first) if r.first == r.last else f"{r.first}-{r.last}" for r in ranges]
