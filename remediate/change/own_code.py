"""The functions that people's own steps name: beside the playbook, or in an installed module."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from remediate.errors import PlanError
from remediate.inventory.document import did_you_mean
from remediate.model.base import sha256
from remediate.model.change import Plan
from remediate.model.hook import Hook


def hooks_of(plan: Plan) -> Iterator[Hook]:
    return (hook for wave in plan.waves for hook in (*wave.before, *wave.after))


def sources(hooks: Iterable[Hook], folder: Path) -> dict[str, str]:
    """Module → what its own file says; "" where it has none. What it imports itself is not followed."""
    return {name: _text(name, folder) for name in dict.fromkeys(hook.module for hook in hooks)}


def check(hooks: Iterable[Hook], folder: Path) -> None:
    for hook in hooks:
        load(hook, folder)


def check_unchanged(hook: Hook, plan: Plan) -> None:
    """Raises PlanError: the code is no longer the one that the plan was made with."""
    planned = plan.inputs.get(key(hook.module))
    if planned is not None and planned != sha256(_text(hook.module, Path(plan.playbook).parent)):
        raise PlanError(
            f"the module {hook.module} has changed since the plan was made", where=_where(hook), next="plan again"
        )


def key(module: str) -> str:
    """Of a module among a plan's inputs."""
    return f"{PREFIX}{module}"


PREFIX = "module "


def load(hook: Hook, folder: Path) -> Callable[..., Any]:
    """The function. ``folder``: the playbook's. Raises PlanError for one that is not there or cannot be called so."""
    module = _module(hook, folder)
    function = getattr(module, hook.function, None)
    if not callable(function):
        there = [name for name, one in vars(module).items() if callable(one) and not name.startswith("_")]
        raise PlanError(
            f"the module {hook.module} has no function {hook.function}{did_you_mean(hook.function, there)}",
            where=_where(hook),
            next=f"mend run: {hook.run}, or write the function",
        )
    try:
        inspect.signature(function).bind(None, **hook.args)
    except TypeError as error:
        raise PlanError(
            f"{hook.run} cannot be called with a task and its args: {error}",
            where=_where(hook),
            next="mend its args; the function's first parameter is Nornir's task",
        ) from error
    return function  # type: ignore[no-any-return]  # whatever it returns, Nornir makes a Result of it


def _where(hook: Hook) -> str:
    return f"task {hook.name!r}"


def _own(module: str, folder: Path) -> Path | None:
    """The file of the package or module beside the playbook."""
    top = module.partition(".")[0]
    there = (folder / top / "__init__.py", folder / f"{top}.py")
    return next((path for path in there if path.is_file()), None)


def _module(hook: Hook, folder: Path) -> ModuleType:
    own = _own(hook.module, folder)
    try:
        with _leaving_no_bytecode():
            if own is not None:
                _import_own(hook, own)
            if str(folder) not in sys.path:
                sys.path.append(str(folder))  # for what it imports itself
            return import_module(hook.module)
    except PlanError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not hook.module.startswith(error.name):
            raise _broken(hook, error) from error
        raise PlanError(
            f"there is no module {error.name}",
            where=_where(hook),
            next=f"put {hook.module.replace('.', '/')}.py beside the playbook ({folder}), or install it",
        ) from error
    except Exception as error:  # somebody else's code
        raise _broken(hook, error) from error


def _broken(hook: Hook, error: Exception) -> PlanError:
    return PlanError(
        f"the module {hook.module} cannot be imported: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
        where=_where(hook),
        next="mend it; python -c 'import ...' in the playbook's folder shows all of it",
    )


def _import_own(hook: Hook, own: Path) -> None:
    """Under its plain name, whatever else may be installed under it; but nobody else's module is replaced."""
    top = hook.module.partition(".")[0]
    known = sys.modules.get(top)
    if known is not None:
        if getattr(known, "__file__", None) != str(own):
            raise PlanError(
                f"another module is called {top} already, and {own.name} would replace it",
                where=_where(hook),
                next="give the file another name",
            )
        return
    search = [str(own.parent)] if own.name == "__init__.py" else None
    spec = spec_from_file_location(top, own, submodule_search_locations=search)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[top] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:  # a Ctrl-C too leaves no half of a module behind, which would count as imported
        del sys.modules[top]
        raise


@contextmanager
def _leaving_no_bytecode() -> Iterator[None]:
    """The playbook's folder stays as it is."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _text(module: str, folder: Path) -> str:
    own = _own(module, folder)
    if own is not None and "." in module:
        rest = own.parent.joinpath(*module.split(".")[1:])
        own = next((path for path in (rest / "__init__.py", rest.with_suffix(".py")) if path.is_file()), own)
    try:
        if own is None:
            spec = find_spec(module)
            own = Path(spec.origin) if spec is not None and spec.origin else None
        return own.read_text(errors="replace") if own is not None else ""
    except (ImportError, OSError, ValueError):
        return ""
