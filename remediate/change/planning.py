"""Playbook + inventory + what the devices run now → a plan. Reads devices, changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import product
from pathlib import Path

from nornir.core import Nornir

from remediate import __version__, controls, platforms, runner, tasks
from remediate.change import durations, guarding, live, own_code, seeing, sources, windows
from remediate.change.devices import utc_now
from remediate.change.looking import raise_first
from remediate.errors import CommandRejected, PlanError, Unprovable, UsageError
from remediate.inventory import Loaded
from remediate.model.change import Candidate, OpenSessions, Plan, Section, Wave
from remediate.model.device import Device
from remediate.model.hook import When
from remediate.model.observation import Rung
from remediate.model.rule import Action, AnyIntent, Intent, Rule
from remediate.model.site import Pacs, Site, Vantage
from remediate.platforms import FilterState, Pace
from remediate.playbook import Play, Playbook, waves
from remediate.policy import simulated
from remediate.render import Renderer
from remediate.runner import LoopRunner

_OBSERVES = "it only observes: nothing is closed, and whoever could reach the archive still can"
#: Seconds for reading one device.
_READING = 120.0


def make(loaded: Loaded, playbook: Playbook, renderer: Renderer, limit: str | None = None, *, forks: int = 20) -> Plan:
    """Raises PlanError where no safe plan can be made, DeviceError where a device cannot be read."""
    loop = LoopRunner(num_workers=forks, deadline=_READING)
    nornir = tasks.framework(loaded.nornir, loaded.site, loop)
    try:
        return _plan(loaded, playbook, nornir, renderer, limit)
    finally:
        nornir.close_connections(on_good=True, on_failed=True)
        loop.close()


def parse(path: Path) -> Plan:
    """A plan from its file. Raises PlanError for one that is not ours."""
    try:
        plan = Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PlanError(
            f"the plan cannot be read: {error.strerror}",
            where=str(path),
            next="make one: remediate plan PLAYBOOK --out FILE",
        ) from error
    except ValueError as error:
        raise PlanError(
            "this is not a plan of this version", where=str(path), next="make one: remediate plan PLAYBOOK --out FILE"
        ) from error
    return plan


def read(path: Path, loaded: Loaded) -> Plan:
    """A plan to be run. Raises as ``parse``, and DriftError when what it was made of has changed."""
    plan = parse(path)
    sources.check(plan, loaded, str(path))
    return plan


def _plan(loaded: Loaded, playbook: Playbook, nornir: Nornir, renderer: Renderer, limit: str | None) -> Plan:
    site = loaded.site
    if any(play.reported for play in playbook.plays):
        raise PlanError(
            "this playbook only asks about reported addresses, and changes nothing",
            where=playbook.path,
            next="remediate verify PLAYBOOK -e reported=FILE",
        )
    for play in playbook.plays:
        own_code.check((*play.hooks(When.BEFORE), *play.hooks(When.AFTER)), Path(playbook.path).absolute().parent)
        seeing.check_names(play, site)
    selected = [(play, loaded.select(play.hosts, limit)) for play in playbook.plays]
    waved = [_in_waves(play, names, loaded, limit) for play, names in selected]
    looks = _looks(_devices(selected, site), nornir)
    running = {name: look.running for name, look in looks.items()}
    paces = {name: look.pace for name, look in looks.items()}
    host_keys = _host_keys(looks, site)
    # Each wave is planned on what the waves before it leave behind.
    states = {name: guarding.read(site.devices[name], text) for name, text in running.items()}
    made: list[Wave] = []
    warnings: list[str] = []
    for (play, _), divided in zip(selected, waved, strict=True):
        for members in divided:
            wave = _wave(len(made) + 1, play, [site.pacs[n] for n in members], site, states, renderer, nornir)
            wave = durations.at_the_devices_pace(wave, paces)
            warnings += _warnings(wave, site, states, paces)
            for candidate in wave.candidates:
                device = site.devices[candidate.device]
                states[device.name] = guarding.predicted(device, states[device.name], candidate)
            made.append(wave.model_copy(update={"open_sessions": _open_sessions(wave, site, nornir)}))
    inputs, texts = sources.inputs(loaded, playbook, renderer)
    changed = dict.fromkeys(candidate.device for wave in made for candidate in wave.candidates)
    return Plan(
        tool=__version__,
        playbook=str(Path(playbook.path).absolute()),
        inventory=str(Path(loaded.path).absolute()),
        templates=str(renderer.folder.absolute()) if renderer.folder is not None else None,
        inputs=inputs,
        texts=texts | sources.devices(running, changed),
        waves=tuple(made),
        warnings=tuple(dict.fromkeys(warnings)),
        notify=tuple(dict.fromkeys(reference for play in playbook.plays for reference in play.notify)),
        host_keys=host_keys,
        allowed_signers=tuple(dict.fromkeys(p.allowed_signers for p in playbook.plays if p.allowed_signers)),
    )


def _in_waves(play: Play, names: Sequence[str], loaded: Loaded, limit: str | None) -> list[tuple[str, ...]]:
    """What ``first`` selects is a wave by itself; ``serial`` divides the others."""
    if play.first is None:
        return waves(names, play.serial)
    try:
        chosen = set(loaded.select(play.first))
    except UsageError as error:
        error.where = f"play {play.name!r}: first"
        raise
    first = tuple(name for name in names if name in chosen)
    others = [name for name in names if name not in chosen]
    if not first and limit is None:
        raise PlanError(
            f"first ({play.first}) selects none of its hosts ({play.hosts})",
            where=f"play {play.name!r}",
            next="let first select some of what hosts selects, or leave it out",
        )
    return [*([first] if first else []), *(waves(others, play.serial) if others else [])]


def _devices(selected: Iterable[tuple[Play, Sequence[str]]], site: Site) -> dict[str, tuple[str, ...]]:
    """Every device that the plays' controls change, with these controls. Raises PlanError for a PACS that none would
    protect, and for what a control cannot mean there."""
    found: dict[str, dict[str, None]] = {}
    for play, names in selected:
        for control, name in product(map(controls.control, play.controls), names):
            if not controls.has_to_close(control, site.pacs[name]):
                continue
            devices = control.devices(site.pacs[name])
            if not devices:
                raise PlanError(
                    "no device protects it, so nothing can be applied",
                    where=name,
                    next="name its firewall in protected_by, or leave it out with --limit",
                )
            if missing := [device for device in devices if device not in site.devices]:
                raise PlanError(
                    f"{control.name} configures {missing[0]} itself, and the inventory does not say how",
                    where=name,
                    next="give it a platform that can, config: {file: …, restart: …} and a login, or leave it out",
                )
            for device in devices:  # so that what cannot be meant is said before any device is asked
                meant = _intent(control, site.pacs[name], site.devices[device], observe=False)
                guarding.check_intents(site.devices[device], [meant])
                found.setdefault(device, {})[control.name] = None
    return {device: tuple(names) for device, names in found.items()}


def _intent(control: controls.Control, pacs: Pacs, device: Device, *, observe: bool) -> AnyIntent:
    made = control.intent(pacs, device, platforms.platform(device.platform).capabilities.addressing)
    return made.model_copy(update={"observe": True}) if observe and isinstance(made, Intent) else made


def _looks(devices: Mapping[str, Sequence[str]], nornir: Nornir) -> dict[str, tasks.DeviceLook]:
    """``devices``: with the controls that are to be applied there."""
    results = runner.run(nornir, tasks.look_at_device, hosts=tuple(devices), controls=devices) if devices else {}
    looks = {}
    for name, result in results.items():
        raise_first(result.exception)
        look: tasks.DeviceLook = result[0].result
        if look.lacks:
            raise PlanError(
                "the device cannot take a safe change:" + "".join(f"\n  - {lack}" for lack in look.lacks),
                where=name,
                next="mend that on the device or in the inventory, then plan again",
            )
        tasks.check_nothing_pending(name, look.pending)
        looks[name] = look
    return looks


def _host_keys(looks: Mapping[str, tasks.DeviceLook], site: Site) -> dict[str, str]:
    """Of the devices that filter. Raises PlanError where two names are one device: two pushes would be armed at once.

    An archive and its fronts may share a host with others.
    """
    keys: dict[str, str] = {}
    for name, look in looks.items():
        if Intent not in platforms.platform(site.devices[name].platform).intents:
            continue
        if same := [other for other, key in keys.items() if key == look.unit.key]:
            raise PlanError(
                f"{same[0]} and {name} answer with the same SSH host key ({look.unit.key}): they are one device under "
                "two names, or one of them was copied from the other",
                where=str(name),
                next="keep one name for one device in the inventory; give a copied device a host key of its own",
            )
        keys[name] = look.unit.key
    return keys


def _wave(
    number: int,
    play: Play,
    members: Sequence[Pacs],
    site: Site,
    states: Mapping[str, FilterState],
    renderer: Renderer,
    nornir: Nornir,
) -> Wave:
    """``states``: by device, what runs there when the wave begins."""
    intents: dict[str, list[AnyIntent]] = {}
    nothing_to_close: dict[str, tuple[str, ...]] = {}
    for control in map(controls.control, play.controls):
        for pacs in members:
            if not controls.has_to_close(control, pacs):
                nothing_to_close[pacs.name] = (*nothing_to_close.get(pacs.name, ()), control.name)
                continue
            for device in (site.devices[d] for d in control.devices(pacs)):
                intents.setdefault(device.name, []).append(_intent(control, pacs, device, observe=play.observes))
    made: list[Candidate] = []
    in_place: dict[str, tuple[str, ...]] = {}
    for name, wanted in intents.items():
        sections = guarding.sections(site.devices[name], wanted, states[name])
        _check_opens_nothing(site.devices[name], sections)
        changed = [section for section in sections if section.rules != section.previous]
        if changed:
            made.append(_candidate(site.devices[name], changed, states[name], renderer, nornir))
        if len(changed) < len(sections):
            in_place[name] = tuple(section.name for section in sections if section not in changed)
    vantages = _vantages(play, site)
    places = [site.vantages[v] for v in vantages]
    _check_certificates(members, places, play.controls)
    expected = {pacs.name: controls.expectations(play.controls, pacs, places) for pacs in members}
    bystanders = {name for name, left in nothing_to_close.items() if len(left) == len(play.controls)}
    seeing.check(play, members, places, expected, bystanders)
    questions = tuple(e for one in expected.values() for e in one.expectations)
    own = (*play.hooks(When.BEFORE), *play.hooks(When.AFTER))
    return Wave(
        number=number,
        play=play.name,
        pacs=tuple(pacs.name for pacs in members),
        vantages=vantages,
        revert_in=play.revert_in,
        candidates=tuple(made),
        in_place=in_place,
        expectations=questions,
        # Where nothing is to be done and nobody looks, there is no verdict either.
        not_asked={n: one.not_asked for n, one in expected.items() if one.expectations or n not in bystanders},
        leaves_open={
            name: _OBSERVES if play.observes else _leaves_open(name, [site.devices[device] for device in intents])
            for name in play.controls
        },
        observes=play.observes,
        max_fail_percentage=play.max_fail_percentage,
        on_unknown=play.on_unknown,
        window=play.window,
        before=play.hooks(When.BEFORE),
        after=play.hooks(When.AFTER),
        takes_at_most=durations.takes_at_most(play.revert_in, questions, site)
        + sum((h.timeout for h in own), timedelta()),
        soak=play.soak,
        accept=play.accept,
        simulated={
            pacs.name: unseen for pacs in members if pacs.name not in bystanders and (unseen := simulated(pacs, places))
        },
        accept_simulated=play.accept_simulated,
        accept_unseen=tuple(name for name in play.accept_unseen if seeing.unseen_inside(expected.get(name))),
        unasked={name: sides for name, one in expected.items() if (sides := seeing.unasked(name, play, one))},
        nothing_to_close=nothing_to_close,
    )


def _check_certificates(members: Iterable[Pacs], places: Iterable[Vantage], names: Sequence[str]) -> None:
    """Raises PlanError where the place of a peer that speaks TLS has nothing to show to an archive, or its front, that
    will ask for a certificate."""
    asked = [
        pacs
        for pacs in members
        if any(Rung.TLS_CERTIFICATE_WANTED in rungs for rungs in controls.left_to_strangers(names, pacs).values())
    ]
    peers = {p.name for pacs in asked for p in pacs.access.peers if p.tls and any(role.is_dicom for role in p.roles)}
    bare = [one.name for one in places if one.peer in peers and one.client_certificate is None]
    if bare:
        raise PlanError(
            "it stands in a peer's place and has no certificate to show, so nobody could see that the peer is served",
            where=f"vantage {bare[0]}",
            next="give it client_certificate: {certificate: FILE, key: FILE}, or leave it out of verify: {from: …}",
        )


def _leaves_open(control: str, devices: Iterable[Device]) -> str:
    able = (platforms.platform(device.platform).capabilities for device in devices)
    there = dict.fromkeys(one.leaves_open[control] for one in able if control in one.leaves_open)
    return "; ".join((controls.control(control).leaves_open, *there))


def _open_sessions(wave: Wave, site: Site, nornir: Nornir) -> dict[str, OpenSessions]:
    """Who is connected now and would be cut off; the run looks once more, right before the push."""
    if not wave.candidates:
        return {}
    found = live.look(wave, site, nornir, nornir)
    sessions: dict[str, OpenSessions] = {}
    for device in (candidate.device for candidate in wave.candidates):
        cut = [one for one in found.cut if one.device == device]
        views = [found.seen[name] for name in (device, *wave.pacs) if name in found.seen]
        sessions[device] = OpenSessions(
            count=sum(one.sessions for one in cut),
            peers=tuple(f"{one.address} to {one.pacs}, {_ports(one.ports)}" for one in cut),
            cannot="; ".join(dict.fromkeys(v.cannot for v in views)) if all(v.cannot for v in views) else "",
        )
    return sessions


def _ports(ports: Sequence[int]) -> str:
    return f"port{'s' * (len(ports) > 1)} {', '.join(map(str, ports))}"


def _check_opens_nothing(device: Device, sections: Iterable[Section]) -> None:
    """Raises PlanError where what is to be observed is denied already."""
    for section in sections:
        if not isinstance(section.intent, Intent) or not section.intent.observe or section.previous is None:
            continue
        if any(isinstance(rule, Rule) and rule.action is Action.DENY for rule in section.previous):
            raise PlanError(
                f"section {section.name} of the guard denies there now, and to observe would open that again",
                where=device.name,
                next="if it is to be opened, take back the change that closed it: remediate rollback",
            )


def _candidate(
    device: Device, changed: Sequence[Section], running: FilterState, renderer: Renderer, nornir: Nornir
) -> Candidate:
    """What cannot be proved is refused; whether the device would have refused it too is said with it."""
    try:
        return guarding.candidate(device, changed, running, renderer)
    except Unprovable as error:
        result = runner.run(nornir, tasks.objections, hosts=(device.name,), text=error.text)[device.name]
        raise_first(result.exception)
        if not result[0].result:
            raise
        raise CommandRejected(
            f"the template's text cannot be proved ({error.what}), and the device refuses it; nothing was loaded",
            words=result[0].result,
            where=device.name,
            next="mend the template",
        ) from error


def _vantages(play: Play, site: Site) -> tuple[str, ...]:
    """Those that the play's verify names, otherwise all."""
    names = tuple(play.vantages or site.vantages)
    if not names:
        raise PlanError("there is no vantage to look from", where=play.name, next="add one to the inventory")
    return names


def _warnings(wave: Wave, site: Site, states: Mapping[str, FilterState], paces: Mapping[str, Pace]) -> Iterable[str]:
    """``states``: by device, what runs there when the wave begins; ``paces``: how fast it answers."""
    if not wave.candidates:
        return
    for candidate in wave.candidates:
        _check_timer(wave.revert_in, candidate)
        yield from guarding.remarks(site.devices[candidate.device], candidate, states[candidate.device])
        if units := site.devices[candidate.device].ha:
            yield (
                f"{candidate.device} is one of {' and '.join(units)}: only the unit that answers is changed. Where "
                "they do not copy their configuration themselves, the other one opens the archive again when it "
                "takes over: guard it too, as a device of its own under an address of its own"
            )
    if wave.window is not None:
        windows.check_long_enough(wave.window, wave.takes_at_most, f"play {wave.play!r}", utc_now())
    yield from durations.check(wave, site, paces)


def _check_timer(revert_in: timedelta, candidate: Candidate) -> None:
    able = platforms.platform(candidate.platform).capabilities
    if not able.revert_min <= revert_in <= able.revert_max or revert_in % able.revert_step:
        raise PlanError(
            f"{candidate.platform} cannot wait {revert_in.total_seconds():g} s: its revert timer takes "
            f"{able.revert_min.total_seconds():g} to {able.revert_max.total_seconds():g} s in steps of "
            f"{able.revert_step.total_seconds():g} s",
            where=candidate.device,
            next="change revert_in",
        )
