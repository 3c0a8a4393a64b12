"""The dead man's switch of a device with a POSIX shell: it takes a push back by itself unless that is confirmed.

On the device each push has a folder of its own under STATE, named by its token, with two scripts of the platform's in
it: ``load.sh`` puts the push in force, or fails and leaves everything as it was; ``undo.sh`` takes it back, and may be
run twice. A push is in exactly one of the states ``armed``, ``confirmed``, ``reverting``, ``reverted``, which are file
names: a rename from ``armed`` succeeds for one side only, be it the confirm, the revert timer or an explicit rollback.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from datetime import timedelta

from remediate.errors import CommandRejected, DeviceError, NeedsHands
from remediate.model.change import Pending, Token
from remediate.platforms import ABSENT, ARMED, CONFIRMED, REVERTED, STUCK, PushState
from remediate.platforms.session import Completed, Session

STATE = "/var/lib/remediate"

#: systemd and login shells need not have the sbin folders on PATH. Messages must be the programs' own, untranslated.
HEAD = f"""\
PATH=/usr/sbin:/sbin:/usr/local/sbin:$PATH; export PATH LC_ALL=C
umask 077
state={STATE}
"""

#: What a preflight must know of the machine itself; a platform's own questions follow.
FACTS = f"""{HEAD}
echo "uid=$(id -u)"
[ -d /run/systemd/system ] && echo timer=systemd || {{ command -v setsid >/dev/null && echo timer=setsid; }}
mkdir -p "$state" && echo state=writable
"""

#: $1 the device's name, $2 the file's; stdin: its text.
_STAGE = f"""{HEAD}
set -e
mkdir -p "$state/candidate-$1"
cat > "$state/candidate-$1/$2"
"""

#: $1 the device's name; the platform's own check of what is staged follows, in that folder.
_CHECK = f"""{HEAD}
cd "$state/candidate-$1" || exit 3
"""

_DISCARD = f"""{HEAD}
[ -n "$1" ] && rm -rf "$state/candidate-$1"
"""

#: In a push's folder: a load goes on where the session that began it is lost, and nothing may be undone under it.
_SETTLED = """\
tries=0
while [ -s loader ] && kill -0 "$(cat loader)" 2>/dev/null && [ $tries -lt 1200 ]; do
    tries=$((tries + 1)); sleep 0.1
done
"""

#: A timer that has gone by itself is disarmed too: the rename before it has decided. One from before a restart of the
#: device is nobody's any more, and its process id may be somebody else's.
_DISARM = """\
if [ "$(cat boot)" != "$(cat /proc/sys/kernel/random/boot_id)" ]; then :
elif [ -d /run/systemd/system ]; then systemctl stop "remediate-$1.timer" || true
else kill -- "-$(cat deadman.pid)" 2>/dev/null || true; fi
"""

#: $1 token, $2 seconds, $3 the device's name. Arms first, sees the timer alive, and only then loads.
_COMMIT = f"""{HEAD}
[ -e "$state/$1" ] && {{ echo "$state/$1 exists: this push was made before" >&2; exit 3; }}
set -e
mv "$state/candidate-$3" "$state/$1"
cd "$state/$1"
cat /proc/sys/kernel/random/boot_id > boot
cat > deadman.sh <<'DEADMAN'
PATH=/usr/sbin:/sbin:/usr/local/sbin:$PATH; export PATH
cd "$1" && mv armed reverting || exit
{_SETTLED}sh undo.sh && mv reverting reverted
DEADMAN
echo $(( $(date +%s) + $2 )) > deadline
: > armed
if [ -d /run/systemd/system ]; then
    systemd-run --quiet --unit="remediate-$1" --on-active="$2" --timer-property=AccuracySec=1s \\
        /bin/sh "$state/$1/deadman.sh" "$state/$1"
else
    setsid -f sh -c 'echo $$ > deadman.pid; sleep '"$2"'; sh deadman.sh "$PWD"' >/dev/null 2>&1 </dev/null
    tries=0
    until [ -s deadman.pid ]; do
        tries=$((tries + 1)); [ $tries -le 200 ] || {{ echo "the revert timer did not start" >&2; exit 4; }}
        sleep 0.02
    done
fi
echo $$ > loader
if ! sh load.sh > load.log 2>&1; then  # a file: nobody may be left who reads
    mv armed refused
    {_DISARM}    cat load.log >&2
    exit 5
fi
rm loader
"""

#: One line a push: token, state, seconds left, whether the timer lives and whether the load goes on still, seconds for
#: which the last of loading it and taking it back kept a service down.
_PENDING = f"""{HEAD}
now=$(date +%s); boot=$(cat /proc/sys/kernel/random/boot_id)
for folder in "$state"/*/; do
    [ -f "$folder/deadline" ] || continue
    token=$(basename "$folder")
    for name in armed reverting reverted confirmed refused; do [ -e "$folder/$name" ] && break; name=unknown; done
    [ "$(cat "$folder/boot")" = "$boot" ] || name="$name-before-boot"
    alive=no
    if [ -d /run/systemd/system ]; then systemctl is-active --quiet "remediate-$token.timer" && alive=yes
    else kill -0 "$(cat "$folder/deadman.pid")" 2>/dev/null && alive=yes; fi
    busy=no; [ -s "$folder/loader" ] && kill -0 "$(cat "$folder/loader")" 2>/dev/null && busy=yes
    down=-; [ -s "$folder/down" ] && down=$(cat "$folder/down")
    echo "$token $name $(( $(cat "$folder/deadline") - now )) $alive $busy $down"
done
"""

_CONFIRM = f"""{HEAD}
cd "$state/$1" || exit 3
mv armed confirmed 2>/dev/null || exit 4
{_DISARM}"""

#: An explicit rollback: of a push that is still armed, or of one just confirmed whose fellow on another device failed.
_REVERT = f"""{HEAD}
cd "$state/$1" || exit 3
mv armed reverting 2>/dev/null || mv confirmed reverting 2>/dev/null || exit 4
{_DISARM}{_SETTLED}sh undo.sh && mv reverting reverted
"""

_FORGET = f"""{HEAD}
[ -n "$1" ] || exit 3
rm -rf "$state/$1"
"""

_STATES = {
    "armed": ARMED,
    "confirmed": CONFIRMED,
    "reverted": REVERTED,
    "refused": REVERTED,
    "reverting": STUCK,
    "reverted-before-boot": REVERTED,
    "refused-before-boot": REVERTED,
    "confirmed-before-boot": CONFIRMED,
    # What is not confirmed is in no file that is read at boot, so a restart has taken it back.
    "armed-before-boot": REVERTED,
    "reverting-before-boot": REVERTED,
}


class DeadMan:
    """The pushes of one device, over its session.

    ``takes``: seconds that ``load.sh`` or ``undo.sh`` may need. ``outlasts_boot``: what is loaded is in force after a
    restart of the device too, where nobody takes it back by itself any more.
    """

    def __init__(self, name: str, session: Session, *, takes: float, outlasts_boot: bool = False) -> None:
        self._name = name
        self._session = session
        self._takes = takes
        self._outlasts_boot = outlasts_boot

    def run(self, script: str, *args: str, stdin: str = "") -> Completed:
        """Runs a script as root; the exit status is the caller's to judge."""
        words = " ".join(map(shlex.quote, args))
        text = f"set -- {words}\n{script}" if words else script
        return self._session.execute(text, stdin=stdin, root=True, timeout=30 + self._takes)

    def must(self, script: str, failed: str, *args: str, stdin: str = "") -> Completed:
        """Raises CommandRejected: ``the device {failed}``, with its words."""
        done = self.run(script, *args, stdin=stdin)
        if done.status:
            raise CommandRejected(f"the device {failed}", words=done.err or done.out, where=self._name)
        return done

    def stage(self, files: Mapping[str, str], check: str) -> None:
        """``files``: name → text, ``load.sh`` and ``undo.sh`` among them. ``check``: a script that is run beside them.

        What the check finds wrong is raised as CommandRejected, and nothing stays.
        """
        for name, text in files.items():
            self.must(_STAGE, "does not take the candidate", self._name, name, stdin=text)
        checked = self.run(_CHECK + check, self._name)
        if checked.status:
            self.discard()
            raise CommandRejected(
                "the device refuses the configuration; nothing was loaded",
                words=checked.err or checked.out,
                where=self._name,
                next="mend the template or the inventory, and plan again",
            )

    def discard(self) -> None:
        self.must(_DISCARD, "does not discard the candidate", self._name)

    def commit(self, token: Token, revert_in: timedelta) -> None:
        done = self.run(_COMMIT, token, str(int(revert_in.total_seconds())), self._name)
        if done.status:
            raise CommandRejected(
                "the device did not load the configuration", words=done.err or done.out, where=self._name
            )

    def pending(self) -> Pending | None:
        for token, (push, _, _) in self._pushes().items():
            if push.name in (ARMED, STUCK):
                return Pending(token=token, ours=True, seconds_left=push.seconds_left)
        return None

    def state_of(self, token: Token) -> PushState:
        """A load or a revert that is under way is waited for; armed without a living timer is stuck."""
        until = time.monotonic() + self._takes
        while True:
            push, alive, busy = self._pushes().get(token, (PushState(ABSENT), False, False))
            if (push.name != STUCK and not busy) or time.monotonic() > until:
                return push._replace(name=STUCK) if push.name == ARMED and (busy or not alive) else push

    def confirm(self, token: Token) -> None:
        self._decide(_CONFIRM, token, CONFIRMED)

    def rollback(self, token: Token) -> None:
        self._decide(_REVERT, token, REVERTED)

    def forget(self, token: Token) -> None:
        self.must(_FORGET, "does not clean up", token)

    def _pushes(self) -> dict[str, tuple[PushState, bool, bool]]:
        """With whether the timer lives, and whether the load goes on still."""
        pushes = {}
        for line in self.must(_PENDING, "does not tell what is pending").out.splitlines():
            token, state, left, alive, busy, down = line.split()
            if state.endswith("-before-boot"):  # measured before that, and of no restart since
                down = "-"
            if self._outlasts_boot:
                state = state.removesuffix("-before-boot")
            push = PushState(_STATES.get(state, STUCK), float(left), None if down == "-" else float(down))
            pushes[token] = push, alive == "yes", busy == "yes"
        return pushes

    def _decide(self, script: str, token: Token, wanted: str) -> None:
        """Confirm or revert, then read back: the timer may have been faster."""
        self.run(script, token)
        state = self.state_of(token)
        if state.name == STUCK:
            raise NeedsHands(
                f"the device could not take the change {token} back",
                where=self._name,
                next=f"on its console: cd {STATE}/{token} && sh undo.sh",
            )
        if state.name != wanted:
            raise DeviceError(
                f"the change {token} is {state.name}, not {wanted}",
                where=self._name,
                next="remediate resume looks at the device and goes on from there",
            )
