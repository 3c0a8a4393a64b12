"""The commands of the exec mode."""

from __future__ import annotations

from remediate.lab.devices.cisco_ios import shows
from remediate.lab.devices.cisco_ios.configure import GLOBAL, existing_interface
from remediate.lab.devices.cisco_ios.grammar import USER, Cursor, Rejected
from remediate.lab.devices.cisco_ios.secrets import fits
from remediate.lab.devices.cisco_ios.session import EXEC, Session
from remediate.lab.devices.ssh import Break

_ENTER = "Enter configuration commands, one per line.  End with CNTL/Z."
_REPLACE = (
    "This will apply all necessary additions and deletions\n"
    "to replace the current running configuration with the\n"
    "contents of the specified configuration file, which is\n"
    "assumed to be a complete configuration, not a partial\n"
    "configuration. Enter Y if you are sure you want to proceed. ? [no]: "
)

# -- for everybody ------------------------------------------------------------------------------------


@EXEC.command("enable", level=USER)
async def _enable(on: Session) -> str:
    """Three tries and `% Bad secrets`; a list of AAA's asks once and says `% Access denied`."""
    if on.level == 15:
        return ""
    aaa = on.config.keeps("aaa new-model")
    if not on.config.enable:
        return "% Error in authentication.\n" if aaa else "% No password set"
    for _ in range(1 if aaa else 3):
        password, _ended = await on.terminal.line("Password: ", echo=False)
        if fits(on.config.enable, password):
            on.level = 15
            return ""
    return "% Access denied\n" if aaa else "% Bad secrets\n"


@EXEC.command("disable", level=USER)
def _disable(on: Session) -> None:
    on.level = USER


@EXEC.command("exit", "logout", "quit", level=USER)
def _exit(on: Session) -> None:
    on.over = True


@EXEC.command("terminal length <lines:0-512>", level=USER)
def _length(on: Session, lines: int) -> None:
    on.terminal.length = lines


@EXEC.command("terminal width <columns:0-512>", level=USER)
def _width(on: Session, columns: int) -> None:
    on.terminal.width = columns


@EXEC.command("terminal monitor", level=USER)
def _monitor(on: Session) -> None:
    on.monitor = True


@EXEC.command("terminal no monitor", level=USER)
def _no_monitor(on: Session) -> None:
    on.monitor = False


@EXEC.command("show version", level=USER)
def _version(on: Session) -> str:
    return shows.version(on.router)


@EXEC.command("show clock", level=USER)
def _clock(on: Session) -> str:
    return shows.clock(on.router)


@EXEC.command("show privilege", level=USER)
def _privilege(on: Session) -> str:
    return f"Current privilege level is {on.level}"


@EXEC.command("show users", level=USER)
def _users(on: Session) -> str:
    lines = ["    Line       User       Host(s)              Idle       Location"]
    for other in on.peers():
        star = "*" if other is on else " "
        place = f"{other.vty + 2:>3} vty {other.vty}"
        lines.append(f"{star}{place:<13} {other.peer.user:<10} idle                 00:00:00 {other.peer.address}")
    lines += ["", "  Interface    User               Mode         Idle     Peer Address", ""]
    return "\n".join(lines)


@EXEC.command("show ip interface brief", level=USER)
def _ip_interface_brief(on: Session) -> str:
    return shows.ip_interface_brief(on.router)


@EXEC.command("show ip interface", "show ip interface <words:CURSOR>", level=USER)
def _ip_interface(on: Session, words: Cursor | None = None) -> str:
    return shows.ip_interface(on.router, _interface(on, words))


@EXEC.command("show interfaces", "show interfaces <words:CURSOR>", level=USER)
def _interfaces(on: Session, words: Cursor | None = None) -> str:
    return shows.interfaces(on.router, _interface(on, words))


def _interface(on: Session, words: Cursor | None) -> str | None:
    if words is None:
        return None
    name = existing_interface(on.config, words)
    words.end()
    return name


# -- looking ------------------------------------------------------------------------------------------


@EXEC.command("show running-config")
def _running(on: Session) -> str:
    return shows.running(on.router)


@EXEC.command("show running-config interface <words:CURSOR>")
def _running_interface(on: Session, words: Cursor) -> str:
    return shows.running_interface(on.router, _interface(on, words) or "")


@EXEC.command("show startup-config")
def _startup(on: Session) -> str:
    return shows.startup(on.router)


@EXEC.command("show ip access-lists", "show access-lists")
def _access_lists(on: Session) -> str:
    return shows.access_lists(on.router)


@EXEC.command("show ip access-lists <name:WORD>", "show access-lists <name:WORD>")
def _access_list(on: Session, name: str) -> str:
    return shows.access_lists(on.router, name)


@EXEC.command("clear access-list counters", "clear access-list counters <name:WORD>")
def _clear(on: Session, name: str | None = None) -> None:
    shows.access_lists(on.router)  # what was counted until now is what is cleared
    for acl in on.config.lists.values():
        for line in acl.lines:
            line.hits = line.hits if name not in (None, acl.name) else 0


@EXEC.command("show logging")
def _logging(on: Session) -> str:
    return shows.logging(on.router)


@EXEC.command("show archive")
def _archive(on: Session) -> str:
    return shows.archive(on.router)


@EXEC.command("show archive config rollback timer")
def _rollback_timer(on: Session) -> str:
    return shows.rollback_timer(on.router)


@EXEC.command("show archive config differences")
def _differences(on: Session) -> str:
    return shows.differences(on.router, "system:running-config", "nvram:startup-config")


@EXEC.command("show archive config differences <first:WORD>")
def _differences_to_running(on: Session, first: str) -> str:
    return shows.differences(on.router, first, "system:running-config")


@EXEC.command("show archive config differences <first:WORD> <second:WORD>")
def _differences_of(on: Session, first: str, second: str) -> str:
    return shows.differences(on.router, first, second)


@EXEC.command("more <name:WORD>")
def _more(on: Session, name: str) -> str:
    text = on.router.file(name)
    if text is None:
        raise Rejected(f"%Error opening {name} (No such file or directory)")
    return text


# -- saving -------------------------------------------------------------------------------------------


@EXEC.command("write", "write memory")
def _write(on: Session) -> str:
    on.router.save(on.peer.user)
    return "Building configuration...\n[OK]"


@EXEC.command("copy running-config startup-config")
async def _copy(on: Session) -> str:
    name, _ended = await on.terminal.line("Destination filename [startup-config]? ")
    if name.strip() not in ("", "startup-config"):
        raise Rejected(f"%Error opening nvram:{name.strip()} (No such file or directory)")
    on.router.save(on.peer.user)
    return "Building configuration...\n[OK]"


@EXEC.command("archive config")
def _archive_config(on: Session) -> None:
    on.router.archive()


@EXEC.command("reload")
async def _reload(on: Session) -> str:
    try:
        if on.config.text() != on.router.startup:
            answer, _ended = await on.terminal.line("\nSystem configuration has been modified. Save? [yes/no]: ")
            if answer.lower() not in ("y", "yes", "n", "no"):
                return "% Please answer 'yes' or 'no'."
            if answer.lower() in ("y", "yes"):
                on.router.save(on.peer.user)
        on.terminal.write("Proceed with reload? [confirm]")
        key = await on.terminal.key()
        on.terminal.write("\n")
        if key not in "\r\ny":
            return ""
    except Break:
        return ""
    on.router.reload()
    return ""


# -- configuring --------------------------------------------------------------------------------------


@EXEC.command("configure")
async def _configure_from(on: Session) -> str:
    where, _ended = await on.terminal.line("Configuring from terminal, memory, or network [terminal]? ")
    if not "terminal".startswith(where.strip().lower()):
        return '?Must be "terminal", "memory" or "network"'
    on.mode = GLOBAL
    return _ENTER


@EXEC.command("configure terminal")
def _terminal(on: Session) -> str:
    on.mode = GLOBAL
    return _ENTER


@EXEC.command("configure terminal revert timer <minutes:1-120>")
def _revert_timer(on: Session, minutes: int) -> str:
    name = on.router.backup()
    on.router.arm(name, minutes, on.peer.user, on.tell)
    on.mode = GLOBAL
    return f"Rollback Confirmed Change: Backing up current running config to {name}\n\n{_ENTER}"


@EXEC.command("configure confirm")
def _confirm(on: Session) -> None:
    on.router.confirm(on.peer.user)


@EXEC.command("configure revert now")
def _revert_now(on: Session) -> str:
    return on.router.revert_now(on.peer.user)


@EXEC.command("configure revert timer <minutes:1-120>")
def _reset_timer(on: Session, minutes: int) -> None:
    on.router.reset_timer(on.peer.user, minutes)


@EXEC.command("configure replace <name:WORD>", "configure replace <name:WORD> <words:CURSOR>")
async def _replace(on: Session, name: str, words: Cursor | None = None) -> str:
    minutes = None
    force = False
    while words is not None and words.more():
        option = words.keyword(["force", "list", "nolock", "time", "revert"])
        force = force or option == "force"
        if option == "time":
            minutes = words.number(1, 120)
        elif option == "revert":
            words.keyword(["trigger"])
            words.maybe(["error"])
            if words.maybe(["timer"]):
                minutes = words.number(1, 120)
    text = on.router.file(name)
    if text is None:
        raise Rejected(f"%Error opening {name} (No such file or directory)")
    backup = on.router.backup() if minutes else ""
    if not force:
        answer, _ended = await on.terminal.line(_REPLACE)
        if answer.strip().lower() not in ("y", "yes"):
            return ""
    on.router.replace(text)
    if minutes:
        on.router.arm(backup, minutes, on.peer.user, on.tell)
    head = f"Rollback Confirmed Change: Backing up current running config to {backup}\n\n" if backup else ""
    return f"{head}Total number of passes: 1\nRollback Done\n"
