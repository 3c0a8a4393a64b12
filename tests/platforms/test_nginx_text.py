"""nginx's files: read as nginx reads them, edited to the byte, and what would let somebody in past the password."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.errors import PlanError, Unprovable
from remediate.model.change import Candidate
from remediate.model.device import ConfigFile, Device, Guard
from remediate.model.rule import WebLoginIntent
from remediate.platforms.nginx import SPEC, trial
from remediate.platforms.nginx.document import Document, Login
from remediate.platforms.nginx.secrets import masked
from remediate.platforms.nginx.statements import parsed
from remediate.render import Renderer

USERS: Login = {"users": "/etc/nginx/pacs.users"}
HTTPS: Login = {**USERS, "certificate": "/etc/tls/own.crt", "key": "/etc/tls/own.key"}
FRONTS = {443: "pacs-north", 8443: "pacs-south"}


CONFIG = ConfigFile(
    path="/etc/nginx/sites-enabled/pacs",
    restart="nginx -s reload",
    ports=(443,),
    dicom_ports=(),
    users=USERS["users"],
    fronts=FRONTS,
)
DEVICE = Device(name="web", platform="nginx", guard=Guard(interface=()), config=CONFIG)


def intent(pacs: str = "pacs-north", port: int = 443, login: Login = USERS) -> WebLoginIntent:
    return WebLoginIntent(pacs=pacs, control="web_auth", device="web", ports=(port,), **login)


def candidate(text: str, *intents: WebLoginIntent) -> Candidate:
    return guarding.candidate(DEVICE, guarding.sections(DEVICE, intents, text), text, Renderer())


def after(text: str, made: Candidate) -> str:
    return SPEC.simulate(DEVICE, SPEC.read(DEVICE, text), made.text).text


def refusals(inside: str, before: str = "") -> str:
    text = f"{before}server {{\n listen 443 ssl;\n{inside}\n}}\n"
    return "\n".join(SPEC.objections(SPEC.read(DEVICE, text), [intent()]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a "b c";', ["a", "b c"]),
        ("a 'b\\'c' d\\\"e;", ["a", "b'c", 'd"e']),
        ("a ${b}c ~^/x{2}$;", None),
        ('a "~^/x{2}$";', ["a", "~^/x{2}$"]),
        ("a b#c; # d", ["a", "b#c"]),
        ("a ${b}c }d;", None),
        ("a x}d ${b}c;", ["a", "x}d", "${b}c"]),
        ("a b\\;c;", ["a", "b\\;c"]),
        ('if ($a = "b") {}', ["if", "($a", "=", "b", ")"]),
        ("a\tb\r\n c;", ["a", "b", "c"]),
        ('a "b"c;', None),
        ("a 'b", None),
        ("a b", None),
        ("a { b; ", None),
        ("; a;", None),
        ("}", None),
        ("content_by_lua_block { local a = {} }", None),
    ],
)
def test_words_are_those_of_nginx(text: str, words: list[str] | None) -> None:
    if words is None:
        with pytest.raises(Unprovable, match="cannot be read"):
            parsed(text)
    else:
        (one,) = parsed(text).statements
        assert [one.name, *one.args] == words


@pytest.mark.parametrize(
    ("where", "on"),
    [
        ("listen 443;", {443}),
        ("listen 203.0.113.1:443;", {443}),
        ("listen [::]:443 ipv6only=on;", {443}),
        ("listen *:440-444;", {440, 443, 444}),
        ("listen 203.0.113.1;", {80}),
        ("listen [2001:db8::443];", {80}),
        ("listen localhost;", {80}),
        ("listen unix:/run/443;", set()),
        ("", {80}),
    ],
)
def test_the_port_of_a_server(where: str, on: set[int]) -> None:
    (server,) = Document(f"server {{ {where} }}").servers
    assert {port for port in (80, 440, 443, 444, 2001) if server.on(port)} == on


def test_only_servers_of_http_count() -> None:
    text = "http { server { listen 1; } upstream a { server b:443; } }\nstream { server { listen 443; } }\n"
    assert [server.on(1) for server in Document(text).servers] == [True]


BY_HAND = """\
# by hand
server {
\tlisten 443 ssl; # theirs
\tlisten 8443;
\tlocation / { autoindex on; } location /a { autoindex "on" ; # x
\t}
}
server { listen 9000; autoindex on; }
server { # one more
  listen 443; autoindex on; }"""


def test_in_the_servers_on_that_port_and_nowhere_else() -> None:
    made = Document(BY_HAND).with_logins({443: USERS})
    lines = made.text.splitlines()
    assert lines[2] == '\t# rmd web_auth {"443":{"users":"/etc/nginx/pacs.users"}}'
    assert lines[3:7] == [
        '\tauth_basic "Medical images";',
        "\tauth_basic_user_file /etc/nginx/pacs.users;",
        "\tautoindex off;",
        "\tsatisfy all;",
    ]
    assert "server { listen 9000; autoindex on; }" in lines
    first, other, second = made.servers
    assert made.text.count("auth_basic_user_file") == 2 and other.own("auth_basic") is None
    listed = [
        one.args for server in (first, second) for one in server.statement.all_inside() if one.name == "autoindex"
    ]
    assert listed == [("off",)] * 4, "ours, two below it, and that of the last server, which has no other"
    assert not any(one.ssl for one in (*first.listens[1:], *second.listens)), "nothing was said of HTTPS"
    assert made.with_logins({443: None}).text == made.foreign.text == BY_HAND


def test_https_only_where_it_is_said_and_not_yet_there() -> None:
    text = "server {\n  listen 443 ssl;\n  listen 80;\n  ssl_certificate /theirs;\n}\nserver {\n  listen 8443;\n}\n"
    made = Document(text).with_logins({443: HTTPS, 8443: HTTPS})
    assert "\n  listen 443 ssl;\n  listen 80;" in made.text and "listen 8443 ssl; # rmd was listen 8443;\n" in made.text
    first, second = made.text.split("server {")[1:]
    assert "ssl_certificate /theirs;" in first and HTTPS["certificate"] not in first.partition("\n    auth")[2]
    assert f"ssl_certificate {HTTPS['certificate']};\n  ssl_certificate_key {HTTPS['key']};" in second
    assert made.with_logins({443: None, 8443: None}).text == text


_PIECES = st.sampled_from(
    [
        "server {", "server{", "location / {", "}", "}\n", "listen 443;", "listen 8443 ssl;", "listen 443 ;\n",
        "autoindex on;", "autoindex  on ;", "autoindex off;", " ", "\n", "\r\n", "\t", "# on; {\n", "#\r\n",
        'x "# {";', "a 'b';", "auth_basic z;", "satisfy all;",
    ]
)  # fmt: skip  # pieces of a file, as many on a line as fit


@given(st.lists(_PIECES, max_size=25).map("".join), st.sampled_from([USERS, HTTPS]))
@settings(max_examples=300)
def test_there_and_back_to_the_byte(text: str, login: Login) -> None:
    try:
        before = Document(text)
        made = before.with_logins({443: login})
    except Unprovable:
        return
    assert Document(made.text).logins == {443: login}
    assert made.with_logins({443: login}).text == made.text, "twice is nothing"
    assert made.with_logins({443: None}).text == text
    assert made.foreign.text == text
    for server in made.on(443):
        listing = [one.args for one in server.statement.all_inside() if one.name == "autoindex"]
        assert listing and ("on",) not in listing
        assert server.own("auth_basic") and server.own("auth_basic_user_file") and server.own("satisfy")


def test_nginx_takes_it_too(tmp_path: Path) -> None:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs the Debian package nginx-light")
    by_hand = BY_HAND.replace("listen 443 ssl", "listen 4443").replace("listen 443", "listen 4443")
    text = f"events {{}} pid {tmp_path}/pid; http {{ access_log off; {by_hand} }}\n"
    file = tmp_path / "nginx.conf"
    file.write_text(Document(text).with_logins({4443: USERS}).text)
    done = subprocess.run(
        [program, "-t", "-e", "stderr", "-c", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "syntax is ok" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "edited",
    [
        lambda text: text.replace("satisfy all;", "satisfy any;"),
        lambda text: text.replace("satisfy all;\n", ""),
        lambda text: text.replace("root /x;", "autoindex on;"),
        lambda text: text.replace("# /rmd\n", ""),
        lambda text: text.replace("# rmd was", "# was"),
        lambda text: text.replace('"443":', '"444":'),
        lambda text: text + "server { listen 443; }\n",
        lambda text: text.replace("pacs.users;", "other.users;"),
    ],
)
def test_ours_edited_by_hand_is_said(edited: object) -> None:
    made = Document("server {\n  listen 443;\n  autoindex on;\n  root /x;\n}\n").with_logins({443: HTTPS}).text
    assert callable(edited)
    with pytest.raises(Unprovable, match="edited by hand"):
        Document(edited(made))


def test_two_archives_behind_one_front_leave_each_other_alone() -> None:
    text = "server {\n  listen 443 ssl;\n}\nserver {\n  listen 8443 ssl;\n}\n"
    north, south = intent(), intent("pacs-south", 8443)
    first = candidate(text, north)
    then = after(text, first)
    second = candidate(then, south)
    assert set(SPEC.read(DEVICE, after(then, second)).sections) == {"web_auth_pacs-north", "web_auth_pacs-south"}
    assert after(then, second) == after(text, candidate(text, north, south))
    assert candidate(then, north).diff == "", "the second time nothing changes"
    undone = SPEC.simulate(DEVICE, SPEC.read(DEVICE, after(then, second)), first.inverse).text
    assert undone == after(text, candidate(text, south))
    both = Document("server {\n  listen 443 ssl; listen 8443 ssl;\n}\n").with_logins({443: USERS, 8443: USERS})
    assert both.text.count("auth_basic ") == 1 and both.with_logins({443: None}).text.count("auth_basic ") == 1
    with pytest.raises(Unprovable, match="cannot go by two lists"):
        both.with_logins({443: {"users": "/other"}})


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("location /x {\n auth_basic off;\n}", "line 4 lets in without a password (auth_basic off)"),
        ("auth_basic 'off';", "line 3 lets in without a password"),
        (
            "location /x { limit_except GET { auth_basic $who; } }",
            "line 3 lets in without a password (auth_basic $who)",
        ),
        ("satisfy any; allow 10.0.0.0/8;", "line 3 lets addresses in without a password (satisfy any)"),
        ("location / { auth_request /login; }", "line 3 asks somebody else who may come in (auth_request)"),
        ("auth_jwt x;", "line 3 asks somebody else"),
        ("auth_basic a; auth_basic_user_file /other;", "another list of users, /other"),
        ("location /x { auth_basic b; auth_basic_user_file /other; }", ""),
        ("location ^~ /.well-known/acme-challenge/ { auth_basic off; }", ""),
        ("auth_basic a; auth_basic_user_file /etc/nginx/pacs.users; auth_delay 1s;", ""),
    ],
)
def test_ways_past_the_password_are_refused_with_their_line(inside: str, said: str) -> None:
    found = refusals(inside)
    assert said in found if said else found == ""


def test_a_port_that_no_server_has_and_paths_that_cannot_be_said() -> None:
    assert "no server in it listens on port 443" in "".join(
        SPEC.objections(SPEC.read(DEVICE, "server { listen 44; }"), [intent()])
    )
    with pytest.raises(PlanError, match="needs the file of those who may come in"):
        SPEC.expressed(intent(login={}))
    with pytest.raises(PlanError, match="cannot say the path") as wrong:
        SPEC.expressed(intent(login={"users": "/etc/pacs users"}))
    assert wrong.value.where == "web, config.users"


def test_what_whoever_approves_must_know() -> None:
    text = (
        "server {\n listen 443;\n return 301 https://x;\n"
        " location /.well-known/acme-challenge/ { auth_basic off; }\n location /x { auth_basic_user_file /other; }\n}\n"
    )
    state = SPEC.read(DEVICE, text)
    plain, own, answers, open_ = SPEC.remarks(state, [intent()])
    assert plain.startswith("passwords can be read on the way: line 2 listens without ssl")
    assert own == "line 5 goes by a list of users of its own, /other"
    assert answers == "line 3 answers before anybody is asked for a password (return)"
    assert open_ == "line 4 goes on asking for none under /.well-known/acme-challenge/"
    assert "https://" in SPEC.remarks(state, [intent(login=HTTPS)])[0]
    two = SPEC.read(DEVICE, "server { listen 443 ssl; }\nserver { listen [::]:443 ssl; }\nserver { listen 80; }\n")
    (several,) = SPEC.remarks(two, [intent()])
    assert several == "2 servers listen there, and each will ask for a password: those in lines 1, 2"


@pytest.mark.parametrize(
    "patch",
    [
        {"web": dict(USERS)},
        {"443": {}},
        {"443": {"users": "/a;b"}},
        {"443": {"users": "/a", "key": "/b"}},
        {"443": {"users": 1}},
        {"443": "/a"},
        {"444": {"users": "/a"}},
    ],
)
def test_a_patch_of_something_else_is_refused(patch: object) -> None:
    state = SPEC.read(DEVICE, "server { listen 443; }")
    with pytest.raises(Unprovable):
        SPEC.simulate(DEVICE, state, json.dumps(patch))


SECRET = "s3cr3t-made-up"


@pytest.mark.parametrize(
    "text",
    [
        f'proxy_set_header Authorization "Basic {SECRET}";',
        f"proxy_set_header X-Api-Key {SECRET};",
        f"secure_link_secret {SECRET};",
        f'map $http_x_token $ok {{ default 0; "{SECRET}" 1; }}',
        f'if ($arg_token = "{SECRET}") {{ return 403; }}',
        f"if ($arg_token = {SECRET}) {{ return 403; }}",
        f"proxy_pass http://me:{SECRET}@10.0.0.1/;",
        f"a b; # the password is {SECRET}\nc d;",
        f'add_header X "Bearer {SECRET}";',
    ],
)
def test_no_secret_leaves_the_host(text: str) -> None:
    assert SECRET not in masked(text)
    assert len(list(parsed(masked(text)).every())) == len(list(parsed(text).every()))


def test_what_is_no_secret_is_shown() -> None:
    made = Document("server {\n listen 443;\n}\n").with_logins({443: {"users": "/etc/password/token"}}).text
    shown = "ssl_password_file /etc/nginx/pass; proxy_set_header Authorization $http_authorization; # plain\n"
    assert masked(shown + made) == shown + made


# -- what nginx says of all its files -------------------------------------------------------------------

HEAD = "trial=possible\nfiles=\n# configuration file /etc/nginx/nginx.conf:\nhttp { include sites-enabled/*; }\n\n"
THIS = "# configuration file /etc/nginx/sites-enabled/pacs:\n# this one\n"


def told(own: str, *others: tuple[str, str], head: str = HEAD) -> list[str]:
    more = "".join(f"\n# configuration file {path}:\n{text}\n" for path, text in others)
    return list(trial.told(CONFIG, f"{head}{THIS}{own}\n{more}"))


def test_other_files_that_nginx_reads() -> None:
    own = "server {\n listen 443 ssl;\n include snippets/*.conf;\n}\n"
    assert told(own, ("/etc/nginx/sites-enabled/other", "server { listen 80; autoindex on; }")) == []
    (second,) = told(own, ("/etc/nginx/sites-enabled/other", "\nserver { listen [::]:443; }"))
    assert second.startswith("a server in line 2 of /etc/nginx/sites-enabled/other listens there too")
    snippet = "location /x {\n auth_basic off;\n autoindex on;\n}"
    assert [one.partition("reads: ")[2][:6] for one in told(own, ("/etc/nginx/snippets/a.conf", snippet))] == [
        "line 2",
        "line 3",
    ]
    assert told(own, ("/etc/nginx/conf.d/a.conf", snippet)) == [], "which this server does not read"
    (lua,) = told(own, ("/etc/nginx/conf.d/b.conf", "init_by_lua_block { a = {} }"))
    assert lua.startswith("/etc/nginx/conf.d/b.conf, which nginx reads too: line 1 cannot be read")


def test_what_is_in_the_way_on_its_host() -> None:
    assert trial.told(CONFIG, "master=none\n") == ()
    (broken,) = trial.told(CONFIG, "trial=possible\nerror=[warn] b\nerror=nginx: [emerg] a\nerror=c\n")
    assert broken == "nginx does not take the files that stand there now: nginx: [emerg] a"
    (none, nobody) = trial.told(CONFIG, f"users=nobody\nfiles=\n{HEAD.partition('files=')[2][1:]}{THIS}\n")
    assert "cannot be tried out there" in none and "nobody is in /etc/nginx/pacs.users" in nobody
    (unread,) = trial.told(CONFIG, HEAD)
    assert unread.startswith("nginx does not read /etc/nginx/sites-enabled/pacs (config.file)")
