"""What the dead man's switch runs on a device, as POSIX shell.

Each push has a folder of its own under STATE, named by its token. In it lies a file that is named by the push's state,
and changes it by a rename, which needs no room on a full disk: ``staged`` (nothing was loaded), ``armed``,
``confirmed``, ``reverting``, ``reverted``, ``refused`` (the load has left everything as it was). ``unloaded`` lies
there until the load begins. Two locks, both flock(2) on a folder, which needs no room and ends with whoever holds it:
on STATE while somebody decides which push may begin (descriptor 9), on the push's own folder while it is loaded, taken
back or confirmed (descriptor 8). No program that goes on running may inherit either.

A *subject* is what a push configures: a host's packet filter, or one file of one archive. A host may have several, and
of each one push at a time.
"""

from __future__ import annotations

STATE = "/var/lib/remediate"
#: Gone with a restart. What cannot be written in STATE, because that is read-only or full, is noted here.
RUN = "/run/remediate"

#: Exit statuses. SOMEBODY_ELSE: another push on the same subject is in the way. LEFT_AS_IT_WAS: of ``load.sh`` too: it
#: failed, and has seen that everything is as before; with any other one but 0 it is not known what is in force.
#: NOT_MADE: nothing is in force of it. With any other status, that of a killed script too, that is not known.
SOMEBODY_ELSE, LEFT_AS_IT_WAS, NOT_KNOWN, NOT_MADE = 20, 10, 6, 5

#: systemd and login shells need not have the sbin folders on PATH. Messages must be the programs' own, untranslated.
HEAD = f"""\
PATH=/usr/local/sbin:/usr/sbin:/sbin:$PATH; export PATH LC_ALL=C
umask 077
state={STATE}; run={RUN}
"""

#: What a preflight must know of the machine itself; a platform's own questions follow. Several may ask at a time.
FACTS = f"""{HEAD}
echo "uid=$(id -u)"
if [ -d /run/systemd/system ]; then echo timer=systemd; elif command -v setsid >/dev/null; then echo timer=setsid; fi
command -v flock >/dev/null && echo flock=yes
command -v sha256sum >/dev/null && echo sha256sum=yes
mkdir -p "$state" && true > "$state/.writable.$$" && rm "$state/.writable.$$" && echo state=writable
"""

_FUNCTIONS = f"""{HEAD}
#: $1 a descriptor; false after 30 s
locked() {{
    tries=0
    until flock -n "$1"; do tries=$((tries + 1)); [ $tries -lt 300 ] || return 1; sleep 0.1; done
}}
now() {{ read -r up _ < /proc/uptime; echo "${{up%.*}}"; }}
#: $1 a push's folder: its state
name_of() {{
    name=unknown
    for one in reverted refused confirmed reverting armed staged; do
        [ -e "$1/$one" ] || continue
        name=$one; break
    done
    case $name in armed|reverting|confirmed) [ ! -e "$run/${{1##*/}}.reverted" ] || name=reverted ;; esac
    [ "$(cat "$1/boot" 2>/dev/null)" = "$(cat /proc/sys/kernel/random/boot_id)" ] || name=$name-before-boot
    case $name in
        armed-before-boot|reverting-before-boot|unknown-before-boot)
            [ ! -e "$1/after_boot.sh" ] || ( cd "$1" && sh after_boot.sh ) || name=kept-before-boot ;;
    esac
}}
#: $1 a push's folder: whether somebody loads it or takes it back now
busy() {{ ! ( exec 8< "$1" && flock -n -s 8 ) 2>/dev/null; }}
#: $1 a push's folder: its timer runs, or goes on trying
alive() {{
    if [ -d /run/systemd/system ]; then
        systemctl is-active --quiet "remediate-${{1##*/}}.timer" ||
            systemctl is-active --quiet "remediate-${{1##*/}}.service"
    else
        pid=$(cat "$1/deadman.pid" 2>/dev/null) && [ -n "$pid" ] &&
            tr '\\0' ' ' 2>/dev/null < "/proc/$pid/cmdline" | grep -qF "deadman.sh $1 "
    fi
}}
#: $1 a push's folder, $2 seconds, $3 what may be taken back
arm() {{
    if [ -d /run/systemd/system ]; then
        systemctl reset-failed "remediate-${{1##*/}}.service" 2>/dev/null
        systemd-run --quiet --unit="remediate-${{1##*/}}" --on-active="$2" --timer-property=AccuracySec=1s \\
            /bin/sh "$1/deadman.sh" "$1" 0 "$3" 8<&- 9<&- || return
    else
        setsid -f sh "$1/deadman.sh" "$1" "$2" "$3" >/dev/null 2>&1 </dev/null 8<&- 9<&-
    fi
    tries=0
    until alive "$1"; do
        tries=$((tries + 1)); [ $tries -le 200 ] || {{ echo "the revert timer did not start" >&2; return 1; }}
        sleep 0.02
    done
}}
#: $1 a push's folder. Only after it was decided: until then the timer is what takes the push back. One from before a
#: restart of the device is nobody's any more.
disarm() {{
    alive "$1" || return 0
    if [ -d /run/systemd/system ]; then systemctl stop "remediate-${{1##*/}}.timer"
    else kill -- "-$(cat "$1/deadman.pid")" 2>/dev/null; fi
    return 0
}}
#: $1 a subject: as it is to be compared, since a file may have two names
known_as() {{ case $1 in /*) readlink -f -- "$1" ;; *) printf '%s\\n' "$1" ;; esac; }}
claim_of() {{ printf '%s/claim-%s\\n' "$state" "$(printf '%s' "$1" | sha256sum | cut -c -16)"; }}
#: $1 a folder: who made it
whose() {{ printf '%s of %s' "${{1##*/}}" "$(cat "$1/owner" 2>/dev/null)"; }}
#: $1 token, $2 subject. False where another push there has not ended; says which
nobody_else() {{
    for folder in "$state"/*/; do
        folder=${{folder%/}}
        case $folder in */candidate-*|"$state/$1") continue ;; esac
        [ -e "$folder/deadline" ] && [ "$(cat "$folder/subject" 2>/dev/null)" = "$2" ] || continue
        name_of "$folder"
        case $name in
            armed|reverting|unknown) ;;
            kept-before-boot) ;;
            *-before-boot) [ -e "$folder/outlasts" ] && [ "${{name%-before-boot}}" != reverted ] &&
                [ "${{name%-before-boot}}" != refused ] && [ "${{name%-before-boot}}" != confirmed ] || continue ;;
            staged) busy "$folder" || alive "$folder" || continue ;;
            confirmed) [ -e "$folder/unsaved" ] || continue; name="confirmed and not saved" ;;
            *) continue ;;
        esac
        echo "push $(whose "$folder") is $name" >&2
        return 1
    done
}}
#: $1 token, $2 subject. False where somebody has staged since; says who
still_claimed() {{
    claim=$(claim_of "$2") || return
    holder=; by=
    [ ! -r "$claim" ] || {{ read -r holder; read -r by; }} < "$claim"
    [ "$holder" = "$1" ] && [ -d "$state/candidate-$1" ] && return
    echo "what was staged for $1 is there no more; staged since: ${{holder:-nothing}} of ${{by:-nobody}}" >&2
    return 1
}}
"""

#: $1 token, $2 subject, $3 who stages. The last one to stage may commit: nobody else's candidate can be loaded any
#: more, and is removed, whoever left it. That is certain, since a commit asks for the claim under the same lock.
CLAIM = f"""{_FUNCTIONS}
mkdir -p "$state" && exec 9< "$state" && locked 9 || {{ echo "$state cannot be locked" >&2; exit 3; }}
subject=$(known_as "$2")
nobody_else "$1" "$subject" || exit {SOMEBODY_ELSE}
for folder in "$state"/candidate-*; do
    [ "$(cat "$folder/subject" 2>/dev/null)" != "$subject" ] && [ "$folder" != "$state/candidate-$1" ] && continue
    rm -rf "$folder"
done
set -e
mkdir "$state/candidate-$1"
cd "$state/candidate-$1"
printf '%s\\n' "$subject" > subject
printf '%s\\n' "$3" > owner
claim=$(claim_of "$subject")
printf '%s\\n' "$1" "$3" > claim
mv claim "$claim"
"""

#: $1 token, $2 subject, $3 the file's name; stdin: its text.
STAGE = f"""{_FUNCTIONS}
subject=$(known_as "$2")
cd "$state/candidate-$1" 2>/dev/null || {{ still_claimed "$1" "$subject"; exit {SOMEBODY_ELSE}; }}
cat > "$3"
"""

#: $1 token, $2 subject; the platform's own check of what is staged follows, in that folder. All that a push needs room
#: for is made here.
CHECK = f"""{_FUNCTIONS}
subject=$(known_as "$2")
still_claimed "$1" "$subject" || exit {SOMEBODY_ELSE}
cd "$state/candidate-$1" || exit 3
true > staged && true > unloaded && true > load.log && true > undo.log || exit 3
"""

#: $1 token, $2 subject.
DISCARD = f"""{_FUNCTIONS}
[ -n "$1" ] || exit 3
if [ -d "$state" ]; then
    exec 9< "$state" && locked 9
    claim=$(claim_of "$(known_as "$2")")
    [ "$(head -n 1 "$claim" 2>/dev/null)" != "$1" ] || rm -f "$claim"
    rm -rf "$state/candidate-$1"
fi
"""

#: Runs beside a push's files, as ``deadman.sh FOLDER SECONDS WHAT``: takes the push back after so many seconds, and
#: goes on trying until it is taken back, or somebody has decided otherwise.
DEADMAN = f"""{HEAD}
cd "$1" || exit
echo $$ > deadman.pid || exit
[ "$2" = 0 ] || sleep "$2"
pause=5
until [ ! -e back.sh ] || sh back.sh "$3"; do
    sleep $pause
    pause=$((pause * 2)); [ $pause -le 300 ] || pause=300
done
"""

#: Takes the push of this folder back, unless it is confirmed; one that is, too, where $1 says so. May be run again.
#: Whether it worked is what ``undo.sh`` has seen, not what could be written: state and words go to RUN where this
#: folder takes nothing.
BACK = f"""{_FUNCTIONS}
folder=$(pwd -P); token=${{folder##*/}}
exec 8< . && locked 8 || {{ echo "it is being loaded or taken back still" >&2; exit 1; }}
[ -e reverted ] || [ -e refused ] || [ -e "$run/$token.reverted" ] && exit 0
if [ -e confirmed ]; then
    [ "$1" = confirmed ] || exit 0
    mv confirmed reverting 2>/dev/null
fi
mv staged reverted 2>/dev/null && exit 0
mv armed reverting 2>/dev/null
if [ ! -e unloaded ]; then
    log=undo.log; true 2>/dev/null > undo.log || {{ mkdir -p "$run" && log="$run/$token.log" && true > "$log"; }} ||
        log=/dev/null
    sh undo.sh > "$log" 2>&1 9<&- || {{ cat "$log" >&2; exit 1; }}
fi
mv reverting reverted 2>/dev/null || mv armed reverted 2>/dev/null || mv confirmed reverted 2>/dev/null ||
    {{ mkdir -p "$run" && true > "$run/$token.reverted"; }} ||
    {{ echo "it is taken back, which cannot be noted" >&2; exit 1; }}
"""

#: $1 token, $2 subject, $3 seconds, $4 the digest of the list of digests. Proves what it has, arms, sees the timer
#: alive, and only then loads.
COMMIT = f"""{_FUNCTIONS}
push="$state/$1"
[ ! -e "$push" ] || {{ echo "$push exists: this push was made before" >&2; exit {NOT_MADE}; }}
subject=$(known_as "$2")
exec 9< "$state" && locked 9 || {{ echo "$state cannot be locked" >&2; exit {NOT_MADE}; }}
nobody_else "$1" "$subject" || exit {SOMEBODY_ELSE}
still_claimed "$1" "$subject" || exit {SOMEBODY_ELSE}
cd "$state/candidate-$1" || exit {NOT_MADE}
[ "$(sha256sum < digests)" = "$4  -" ] && sha256sum -c digests >/dev/null 2>&1 ||
    {{ echo "what lies in $state/candidate-$1 is not what was staged" >&2; exit {NOT_MADE}; }}
cat /proc/sys/kernel/random/boot_id > boot && echo $(( $(now) + $3 )) > deadline && [ -s boot ] && [ -s deadline ] &&
    cd "$state" && mv "candidate-$1" "$1" && cd "$1" || exit {NOT_MADE}
rm -f "$(claim_of "$subject")"
exec 8< .
locked 8 || exit {NOT_MADE}
exec 9<&-
#: Nothing was loaded, whether that can be noted or not.
refuse() {{
    if mv staged refused 2>/dev/null || mv armed refused 2>/dev/null; then disarm "$push"; fi
    exit {NOT_MADE}
}}
arm "$push" "$3" armed || refuse
mv staged armed && true >> load.log && mv unloaded loading || refuse
sh load.sh > load.log 2>&1; ended=$?  # a file: nobody may be left who reads
[ $ended != 0 ] || exit 0
cat load.log >&2
[ $ended = {LEFT_AS_IT_WAS} ] && mv armed refused || exit {NOT_KNOWN}
disarm "$push"
exit {NOT_MADE}
"""

#: $1 subject. One line a push there: token, state, seconds left, whether its timer lives, whether it is being loaded or
#: taken back, seconds for which the last of both kept a service down, and the device's last words about taking it back.
PENDING = f"""{_FUNCTIONS}
subject=$(known_as "$1"); now=$(now)
for folder in "$state"/*/; do
    folder=${{folder%/}}; token=${{folder##*/}}
    [ -f "$folder/deadline" ] && [ "$(cat "$folder/subject" 2>/dev/null)" = "$subject" ] || continue
    alive=no; ! alive "$folder" || alive=yes
    busy=no; ! busy "$folder" || busy=yes
    name_of "$folder"
    down=; [ ! -s "$folder/down" ] || read -r down < "$folder/down"
    left=; read -r left < "$folder/deadline"; words=
    for log in "$run/$token.log" "$folder/undo.log"; do [ ! -s "$log" ] || {{ words=$(tail -n 3 "$log"); break; }}; done
    echo "$token $name $(( ${{left:-0}} - now )) $alive $busy ${{down:--}}" $words
done
"""

#: $1 token. 4: it is not armed, its time is over, or nothing was loaded.
CONFIRM = f"""{_FUNCTIONS}
cd "$state/$1" || exit 3
exec 8< . && locked 8 || exit 4
[ -e armed ] && [ ! -e unloaded ] && [ ! -e "$run/$1.reverted" ] && [ "$(now)" -lt "$(cat deadline)" ] || exit 4
mv armed confirmed || exit 4
disarm "$state/$1"
"""

#: $1 token. An explicit rollback: of a push that is still armed, or of one just confirmed whose fellow on another
#: device failed. Its timer ends only once it is taken back; where it cannot be, a timer goes on trying.
REVERT = f"""{_FUNCTIONS}
cd "$state/$1" || exit 3
if sh back.sh confirmed; then disarm "$state/$1"; exit 0; fi
alive "$state/$1" || arm "$state/$1" 5 confirmed
exit 1
"""

#: $1 token, $2 subject.
FORGET = f"""{_FUNCTIONS}
[ -n "$1" ] || exit 3
[ ! -d "$state/$1" ] || disarm "$state/$1"
claim=$(claim_of "$(known_as "$2")")
[ "$(head -n 1 "$claim" 2>/dev/null)" != "$1" ] || rm -f "$claim"
rm -rf "$state/$1" "$state/candidate-$1" || exit
rm -f "$run/$1.reverted" "$run/$1.log" 2>/dev/null; true
"""

#: $1 token, $2 subject; what makes the push outlast a restart follows, in its folder, with descriptor 9 locked.
SAVE = f"""{_FUNCTIONS}
exec 9< "$state" && locked 9 || {{ echo "$state cannot be locked" >&2; exit 3; }}
nobody_else "$1" "$(known_as "$2")" || exit {SOMEBODY_ELSE}
cd "$state/$1" || exit 3
[ -e confirmed ] && [ ! -e "$run/$1.reverted" ] || {{ echo "the push $1 is not confirmed there" >&2; exit 4; }}
sh in_force.sh || exit 4
"""
