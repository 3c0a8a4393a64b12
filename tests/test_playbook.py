"""Playbooks: the right ones, the wrong ones, waves and durations."""

# ruff: noqa: E501 - a table: one mistake, one line

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remediate.errors import PlaybookError, UsageError
from remediate.inventory import document
from remediate.model.hook import Hook, RunOn, When
from remediate.playbook import Apply, Playbook, Verify, load, parse_duration, waves

EXAMPLE = Path(__file__).parents[1] / "playbooks" / "close_dicom_exposure.yaml"
CONTROLS = ("acl", "vpn_only")
VANTAGES = ("internet", "clinic")

GOOD = """\
- name: Close public DICOM exposure
  hosts: pacs
  serial: [1, 25%, 100%]
  max_fail_percentage: 0
  vars: {revert_in: 5m, ticket: CHG1}
  tasks:
    - name: Only known peers
      apply: acl
    - name: Look
      verify: {from: [internet, clinic]}
"""


def read(folder: Path, text: str | bytes, **extra_vars: str) -> Playbook:
    path = folder / "close.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, extra_vars, controls=CONTROLS, vantages=VANTAGES)


def test_the_example() -> None:
    playbook = load(EXAMPLE, {}, controls=CONTROLS, vantages=VANTAGES)
    (play,) = playbook.plays
    assert (play.name, play.hosts, play.serial) == ("Close public DICOM exposure", "pacs", (1, "25%", "100%"))
    assert (play.max_fail_percentage, play.revert_in, play.vars) == (0, timedelta(minutes=10), {})
    assert play.tasks == (
        Apply(name="Only known peers reach the archive", control="acl"),
        Verify(name="Look from outside and from the clinic", vantages=("internet", "clinic")),
    )
    assert (play.controls, play.vantages) == (("acl",), ("internet", "clinic"))


def test_what_need_not_be_said(tmp_path: Path) -> None:
    text = "- {name: Look, hosts: all, tasks: [{name: Look, verify: {from: [clinic]}}]}"
    (play,) = read(tmp_path, text).plays
    assert (play.serial, play.max_fail_percentage, play.revert_in) == (("100%",), 0, timedelta(minutes=5))


def test_a_play_need_not_say_from_where_it_is_looked_at(tmp_path: Path) -> None:
    (play,) = read(
        tmp_path, "- {name: Close, hosts: all, tasks: [{name: a, apply: acl}, {name: b, apply: vpn_only}]}"
    ).plays
    assert (play.controls, play.vantages) == (("acl", "vpn_only"), ())


def test_extra_variables_win_and_are_no_part_of_the_file(tmp_path: Path) -> None:
    plain, given_ = read(tmp_path, GOOD), read(tmp_path, GOOD, revert_in="90s", ticket="CHG2", other="x=y")
    assert plain.plays[0].vars == {"ticket": "CHG1"}
    assert given_.plays[0].vars == {"ticket": "CHG2", "other": "x=y"}
    assert (plain.plays[0].revert_in, given_.plays[0].revert_in) == (timedelta(minutes=5), timedelta(seconds=90))
    assert (plain.digest, plain.text) == (given_.digest, given_.text)
    assert "CHG" not in plain.text
    assert '[0].vars.ticket: "(yours)"' in plain.text.splitlines()


# fmt: off
MISTAKES = [
    ("hosts: pacs", "host: pacs", "close.yaml:2: play 1: host: unknown key; allowed: name, hosts, first, serial, soak, max_fail_percentage, on_unknown, accept, accept_unseen, window, approval, notify, vars, tasks; did you mean hosts?"),
    ("  hosts: pacs\n", "", "close.yaml:1: play 1: hosts is missing"),
    ("name: Close public DICOM exposure\n  hosts", "hosts", "close.yaml:1: play 1: name is missing"),
    ("hosts: pacs", "hosts: [pacs]", "close.yaml:2: play 1: hosts: found a list; allowed: a pattern such as  pacs  or  pacs-north,!pacs-south"),
    ("hosts: pacs", "hosts: pacs\n  hosts: all", "close.yaml:3: play 1: the key hosts stands twice, first on line 2"),
    ("[1, 25%, 100%]", "[1, 0, 100%]", "close.yaml:3: play 1: serial[1]: found 0; allowed: a number of hosts (1 or more), a percentage …"),
    ("[1, 25%, 100%]", "[]", "close.yaml:3: play 1: serial: found a list; allowed: a number of hosts …"),
    ("[1, 25%, 100%]", "101%", "close.yaml:3: play 1: serial: found '101%'; allowed: a number of hosts …"),
    ("[1, 25%, 100%]", "0%", "close.yaml:3: play 1: serial: found '0%'; allowed: a number of hosts …"),
    ("[1, 25%, 100%]", "yes", "close.yaml:3: play 1: serial: found a yes/no value; allowed: a number of hosts …"),
    ("[1, 25%, 100%]", "2.5", "close.yaml:3: play 1: serial: found 2.5; allowed: a number of hosts …"),
    ("percentage: 0", "percentage: 101", "close.yaml:4: play 1: max_fail_percentage: found 101; allowed: a number from 0 to 100, without %"),
    ("percentage: 0", "percentage: 1.0e+999", "close.yaml:4: play 1: max_fail_percentage: found '1.0e+999'; allowed: a number from 0 to 100, without %"),
    ("percentage: 0", "percentage: 10%", "close.yaml:4: play 1: max_fail_percentage: found '10%'; allowed: a number from 0 to 100, without %"),
    ("revert_in: 5m", "revert_in: 5x", "close.yaml:5: play 1: vars.revert_in: found '5x'; allowed: seconds, or a text such as …"),
    ("revert_in: 5m", "revert_in: 0", "close.yaml:5: play 1: vars.revert_in: found 0; allowed: …"),
    ("revert_in: 5m", "revert_in: 25h", "close.yaml:5: play 1: vars.revert_in: found '25h'; allowed: …from 1 second to 24 hours"),
    ("revert_in: 5m", "revert_in: yes", "close.yaml:5: play 1: vars.revert_in: found a yes/no value; allowed: …"),
    ("revert_in: 5m", "revert-in: 5m", "close.yaml:5: play 1: vars.revert-in: unknown variable; did you mean revert_in?"),
    ("ticket: CHG1", "a-b: x", "close.yaml:5: play 1: vars.a-b: is no name of a variable; allowed: letters, digits and _"),
    ("ticket: CHG1", "ticket: {1: x}", "close.yaml:5: play 1: vars.ticket.1: the key is a number; allowed: a string; put it in quotes"),
    ("{revert_in: 5m, ticket: CHG1}", "5m", "close.yaml:5: play 1: vars: found '5m'; allowed: a mapping"),
    ("apply: acl", "apply: alc", "close.yaml:8: play 1: task 1: apply: no control is called alc; there are: acl, vpn_only; did you mean acl?"),
    ("apply: acl", "aply: acl", "close.yaml:8: play 1: task 1: aply: unknown key; allowed: name, apply, mode, verify, run, …; did you mean apply?"),
    ("apply: acl", "apply: [acl]", "close.yaml:8: play 1: task 1: apply: found a list; allowed: a name of letters, …"),
    ("apply: acl", "apply: acl\n      verify: {from: [clinic]}", "close.yaml:7: play 1: task 1: found apply and verify; allowed: exactly one of apply, run and verify"),
    ("      apply: acl\n", "", "close.yaml:7: play 1: task 1: found neither; allowed: exactly one of apply, run and verify"),
    ("name: Only known peers\n      apply", "apply", "close.yaml:7: play 1: task 1: name is missing"),
    ("apply: acl", "apply: acl\n    - {name: Again, apply: acl}", "close.yaml:9: play 1: task 2: apply: acl stands twice"),
    ("clinic]}", "clinic]}\n    - {name: More, apply: vpn_only}", "close.yaml:11: play 1: task 3: apply after the verify on line 9: nothing would look at what it does"),
    ("clinic]}", "clinic]}\n    - {name: More, verify: {from: [clinic]}}", "close.yaml:11: play 1: task 3: a second verify, after the one on line 9; allowed: one in a play"),
    ("from: [internet, clinic]", "form: [clinic]", "close.yaml:10: play 1: task 2: verify.form: unknown key; allowed: from; did you mean from?"),
    ("from: [internet, clinic]", "", "close.yaml:10: play 1: task 2: verify: from is missing"),
    ("[internet, clinic]", "[]", "close.yaml:10: play 1: task 2: verify.from: no vantage; allowed: at least one"),
    ("[internet, clinic]", "clinic", "close.yaml:10: play 1: task 2: verify.from: found 'clinic'; allowed: a list of vantages"),
    ("[internet, clinic]", "[clinic, clinic]", "close.yaml:10: play 1: task 2: verify.from[1]: clinic stands twice"),
    ("[internet, clinic]", "[internet, clinik]", "close.yaml:10: play 1: task 2: verify.from[1]: no vantage is called clinik; there are: clinic, internet; did you mean clinic?"),
    ("apply: acl", "run: mine", "close.yaml:8: play 1: task 1: run: found 'mine'; allowed: MODULE:FUNCTION, a Nornir task such as  tickets:opened"),
    ("apply: acl", "run: 'mine:it'", "close.yaml:6: play 1: tasks: run in a play that applies nothing; allowed: before or after a push"),
    ("apply: acl", "apply: acl\n    - {name: Mine, run: 'mine:it'}", "close.yaml:9: play 1: task 2: run before the verify on line 10, after an apply: a revert timer runs there; allowed: before the first apply, and at the end"),
    ("apply: acl", "apply: acl\n    - {name: Mine, run: 'mine:it'}\n    - {name: More, apply: vpn_only}", "close.yaml:9: play 1: task 2: run before the apply on line 10, after an apply: a revert timer runs there; …"),
    ("apply: acl", "apply: acl\n      timeout: 5", "close.yaml:9: play 1: task 1: timeout: belongs to a run task; this is apply"),
    ("clinic]}", "clinic]}\n    - {name: Mine, run: 'mine:it', mode: observe}", "close.yaml:11: play 1: task 3: mode: a run task has no mode"),
    ("clinic]}", "clinic]}\n    - {name: Mine, run: 'mine:it', timeout: 0}", "close.yaml:11: play 1: task 3: timeout: found 0; allowed: seconds, 1 to 3600"),
    ("clinic]}", "clinic]}\n    - {name: Mine, run: 'mine:it', run_on: fw}", "close.yaml:11: play 1: task 3: run_on: found 'fw'; allowed: pacs, devices"),
    ("clinic]}", "clinic]}\n    - {name: Mine, run: 'mine:it', check_mode: true}", "close.yaml:11: play 1: task 3: check_mode: allowed: false, where --check is to run it too; without it --check does not"),
    ("clinic]}", "clinic]}\n    - {name: Mine, run: 'mine:it', ignore_errors: 1}", "close.yaml:11: play 1: task 3: ignore_errors: found 1; allowed: true or false"),
    ("clinic]}", "clinic]}\n    - {name: Mine, run: 'mine:it', args: {a-b: 1}}", "close.yaml:11: play 1: task 3: args.a-b: is no name of a function's parameter; allowed: letters, digits and _"),
    ("clinic]}", "clinic]}\n    - {name: Mine, run: 'mine:it', args: {a: [{password: 1}]}}", "close.yaml:11: play 1: task 3: args: would put a secret into plan and record; let the function read it itself, from the environment"),
    ("  serial", "  notify: 'json://user:pass@127.0.0.1'\n  serial", "close.yaml:3: play 1: notify: a URL is not written here, since it holds a secret; allowed: env:NAME, file:PATH, …"),
    ("  serial", "  notify: ['env:']\n  serial", "close.yaml:3: play 1: notify[0]: env: is not followed by the name of a variable"),
    ("  serial", "  notify: []\n  serial", "close.yaml:3: play 1: notify: found a list; allowed: env:NAME, file:PATH, …, or a list of these"),
    (GOOD, "", "close.yaml:1: no play is in it; allowed: at least one, such as  - name: ..."),
    (GOOD, "[]", "close.yaml:1: no play is in it; …"),
    (GOOD, "name: x", "close.yaml:1: found a mapping; allowed: a list of plays"),
    (GOOD, "- x", "close.yaml:1: play 1: found 'x'; allowed: a mapping with the keys name, …"),
    (GOOD, "- {name: x, hosts: all, tasks: []}", "close.yaml:1: play 1: tasks: no task; allowed: apply tasks, and a verify task after them"),
    (GOOD, "- a: [\n", "close.yaml:2: is not YAML: …"),
    ("  hosts", "\thosts", "close.yaml:2: is not YAML: a tab stands in the indentation; YAML wants blanks there"),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES, ids=[row[2][:90] for row in MISTAKES])
def test_a_mistake(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(PlaybookError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    assert any(re.fullmatch(pattern, line) for line in caught.value.problems), str(caught.value)


def test_every_mistake_is_said_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("pacs\n", "[pacs]\n").replace("acl", "alc") + GOOD.replace("clinic", "clinik")
    with pytest.raises(PlaybookError) as caught:
        read(tmp_path, text, revert_in="soon")
    assert [line.split(": ")[:2] for line in caught.value.problems] == [
        ["-e", "revert_in"], ["close.yaml:2", "play 1"], ["close.yaml:8", "play 1"], ["close.yaml:20", "play 2"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("revert_in", "5x", "-e: revert_in: found '5x'; allowed: seconds, or a text"),
        ("revertin", "5m", "-e: revertin: unknown variable; did you mean revert_in?"),
        ("a b", "x", "-e: found 'a b' as the name of a variable; allowed: letters, digits and _"),
        ("ticket", "\ud800", "-e: ticket: is not UTF-8 text"),
    ],
)
def test_a_mistake_on_the_command_line(tmp_path: Path, key: str, value: str, expected: str) -> None:
    with pytest.raises(PlaybookError) as caught:
        read(tmp_path, GOOD, **{key: value})
    assert caught.value.problems[0].startswith(expected)


def test_a_playbook_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path, Path("a\0b")):
        with pytest.raises(PlaybookError, match="cannot be read"):
            load(path)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, document.Loader])
def test_half_a_character_would_not_be_hashable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: Any) -> None:
    monkeypatch.setattr(document, "Loader", loader)
    with pytest.raises(PlaybookError, match=r"close\.yaml:5: "):
        read(tmp_path, GOOD.replace("CHG1", '"\\ud800"'))


# -- any document --------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3), max_leaves=6
)
tasks = st.fixed_dictionaries(
    {"name": st.just("t") | values},
    optional={"apply": st.sampled_from(CONTROLS) | values, "verify": st.just({"from": ["clinic"]}) | values},
)
plays = st.fixed_dictionaries(
    {"name": st.just("p") | values, "hosts": st.just("pacs") | values, "tasks": st.lists(tasks, max_size=3) | values},
    optional={
        "serial": st.sampled_from([1, "25%", [1, "50%"]]) | values,
        "max_fail_percentage": st.integers(-1, 101) | st.floats() | values,
        "vars": st.dictionaries(st.sampled_from(["revert_in", "a", "revert"]) | scalars, values, max_size=3) | values,
    },
)


@given(st.lists(plays, max_size=3))
@settings(max_examples=250, deadline=None)
def test_any_play_is_right_or_a_playbook_error(tmp_path_factory: pytest.TempPathFactory, document: list[Any]) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        playbook = read(folder, yaml.safe_dump(document).encode(errors="surrogatepass"))
    except PlaybookError as error:
        assert str(error).encode() and error.problems
    else:
        assert playbook.model_dump_json()
        for play in playbook.plays:
            assert not any(isinstance(task, Verify) for task in play.tasks[:-1])
            assert timedelta(seconds=1) <= play.revert_in <= timedelta(hours=24)


@given(st.binary(max_size=80))
@example(b'- {name: x, hosts: y, vars: {a: "\\ud800"}}')
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_playbook_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    with pytest.raises(PlaybookError):
        read(tmp_path_factory.getbasetemp(), data)


# -- waves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "serial", "sizes"),
    [
        (10, [1, "25%", "100%"], [1, 2, 7]),
        (10, 3, [3, 3, 3, 1]),
        (10, "25%", [2, 2, 2, 2, 2]),
        (3, "25%", [1, 1, 1]),
        (10, [1, 5], [1, 5, 4]),
        (10, [1, 2], [1, 2, 2, 2, 2, 1]),
        (1, [1, "25%", "100%"], [1]),
        (2, ["100%"], [2]),
        (3, 10**9, [3]),
    ],
)
def test_waves_are_ansibles(count: int, serial: Any, sizes: list[int]) -> None:
    hosts = [f"h{n}" for n in range(count)]
    found = waves(hosts, serial)
    assert [len(wave) for wave in found] == sizes
    assert [host for wave in found for host in wave] == hosts


@given(
    st.lists(st.text(max_size=3), min_size=1, max_size=40),
    st.lists(st.integers(1, 50) | st.integers(1, 100).map(lambda n: f"{n}%"), min_size=1, max_size=4),
)
def test_every_host_is_in_one_wave(hosts: list[str], serial: list[int | str]) -> None:
    found = waves(hosts, serial)
    assert [host for wave in found for host in wave] == hosts
    assert all(found)


@pytest.mark.parametrize(("hosts", "serial"), [([], 1), (["a"], 0), (["a"], []), (["a"], "0%"), (["a"], True)])
def test_no_waves(hosts: list[str], serial: Any) -> None:
    with pytest.raises(UsageError):
        waves(hosts, serial)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5m", 300), ("300s", 300), ("300", 300), (300, 300), ("1h30m", 5400), ("1m30s", 90), ("24h", 86400), (1, 1)],
)
def test_durations(value: str | int, seconds: int) -> None:
    assert parse_duration(value) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "0", "0s", "-5", "5 m", "5M", "m", "1.5h", "24h1s", "٣m", "9999999h", -1, True, "5m\n"]
)
def test_what_is_no_duration(value: str | int) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("apply: acl, mode: block", "mode: found 'block'; allowed: observe"),
        ("apply: vpn_only, mode: observe", "vpn_only cannot observe; allowed with: apply: acl"),
        ("apply: acl, mode: observe}, {name: b, apply: vpn_only", "observe beside another apply"),
        ("apply: acl}, {name: b, mode: observe, verify: {from: [internet]}", "a verify task has no mode"),
    ],
)
def test_a_mode_that_cannot_be(tmp_path: Path, task: str, expected: str) -> None:
    with pytest.raises(PlaybookError) as caught:
        read(tmp_path, f"- name: a\n  hosts: pacs\n  tasks: [{{name: a, {task}}}]\n")
    assert any(expected in line for line in caught.value.problems), str(caught.value)


def test_observing_is_of_the_whole_play(tmp_path: Path) -> None:
    book = read(tmp_path, "- name: a\n  hosts: pacs\n  tasks: [{name: a, apply: acl, mode: observe}]\n")
    assert book.plays[0].observes
    assert not read(tmp_path, GOOD).plays[0].observes


def test_steps_of_ones_own_are_before_or_after(tmp_path: Path) -> None:
    more = "\n    - {name: First, run: 'a.b:c', args: {n: [1, {x: null}]}, check_mode: false}\n"
    last = "\n    - {name: Last, run: 'd:e', run_on: devices, timeout: 5, ignore_errors: true}\n"
    text = GOOD.replace("\n  tasks:\n", f"\n  tasks:{more}").rstrip() + last
    for one in (text, text.replace("    - name: Look\n      verify: {from: [internet, clinic]}\n", "")):
        (play,) = read(tmp_path, one).plays
        first = Hook(name="First", run="a.b:c", args={"n": [1, {"x": None}]}, check_safe=True)
        assert play.hooks(When.BEFORE) == (first,)
        assert (first.module, first.function, first.timeout) == ("a.b", "c", timedelta(minutes=2))
        seconds = timedelta(seconds=5)
        assert play.hooks(When.AFTER) == (
            Hook(name="Last", run="d:e", run_on=RunOn.DEVICES, timeout=seconds, ignore_errors=True),
        )


def test_who_is_told_is_referred_to(tmp_path: Path) -> None:
    (play,) = read(tmp_path, GOOD.replace("  serial", "  notify: [env:OPS, 'file:ops', env:OPS]\n  serial")).plays
    assert play.notify == ("env:OPS", f"file:{tmp_path}/ops")
