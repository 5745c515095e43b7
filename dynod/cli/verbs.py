"""THE table of verbs: help, dispatch and docs/cli.md come from it. Names are those of Heroku's CLI."""

from collections.abc import Iterable

from dynod.cli.building import BUILDING
from dynod.cli.options import Flag, Verb

_ENV = Flag("env", "more config vars for it: A=1;B=2", short="e", value="VARS", blank=True)
_SIZE = Flag("size", "dyno size", short="s", value="SIZE")
_TYPE = Flag("type", "what the dyno is called: TYPE.1234 (default run)", value="TYPE")
_DYNO = Flag("dyno-name", "one dyno, such as web.1", short="d", value="DYNO", aliases=("dyno",))
_WHERE = Flag("dyno-name", "which dyno (default web.1)", short="d", value="DYNO", aliases=("dyno",))
_EXIT_CODE = Flag("exit-code", "pass the command's exit status on (always done here)", short="x")
_NO_TTY = Flag("no-tty", "no terminal in the dyno, even on a terminal")
_PROCESS = Flag("process-type", "all dynos of a process type", short="p", value="TYPE", aliases=("ps",))
_SHELL = Flag("shell", "print as a shell would read it", short="s")
_CONFIRM = Flag("confirm", "the app's name again, instead of being asked", short="c", value="APP")
_CERT = Flag("name", "the certificate's name, where there are several", value="NAME")
_SHOWN = Flag("cert", "the name of the certificate to show for it", short="c", value="NAME")
_MAKE = (
    Flag("selfsigned", "make a certificate that signs itself instead of a request"),
    Flag("keysize", "2048 (default), 3072 or 4096 bits", value="BITS"),
    Flag("subject", "the subject, such as /C=DE/O=Mine/CN=www.example.com", value="SUBJECT"),
    Flag("now", "ask nothing, which it never does"),
)
_HOST = ("HOSTNAME", 1, 1)  # words, least, most
_FEATURE = ("FEATURE", 1, 1)

VERBS: tuple[Verb, ...] = (
    Verb("apps", "apps:apps", "list apps", aliases=("list",), app=False, reads=True),
    Verb(
        "apps:create",
        "apps:create",
        "make an app, and the git remote `heroku` if this directory is a git repository",
        words="[NAME]",
        most=1,
        flags=(
            Flag("no-remote", "make no git remote", short="n"),
            Flag("remote", "the git remote's name (default heroku)", short="r", value="NAME"),
            Flag("stack", "the stack to build on", short="s", value="STACK"),
            Flag("buildpack", "the buildpack to use", short="b", value="URL"),
        ),
        aliases=("create",),
        app=False,
        reads=True,
    ),
    Verb(
        "apps:info",
        "apps:info",
        "show an app",
        most=1,
        words="[APP]",
        flags=(_SHELL,),
        aliases=("info",),
        reads=True,
    ),
    Verb("apps:open", "apps:open_url", "print an app's address", words="[PATH]", most=1, aliases=("open",)),
    Verb(
        "apps:rename", "apps:rename", "rename an app", words="NEWNAME", least=1, most=1, aliases=("rename",)
    ),
    Verb(
        "apps:destroy",
        "apps:destroy",
        "delete an app for good",
        words="[APP]",
        most=1,
        flags=(_CONFIRM,),
        aliases=("destroy", "apps:delete"),
    ),
    Verb(
        "auth:whoami", "account:whoami", "print who you are here", aliases=("whoami",), app=False, reads=True
    ),
    Verb("auth:token", "account:token", "print this machine's API token", aliases=("token",), app=False),
    Verb(
        "autopsy",
        "causes:autopsy",
        "show how a dyno came to its end: cause, what its cgroup had counted, last log lines, files it had changed",
        words="DYNO",
        least=1,
        most=1,
        flags=(Flag("num", "which end: 1 is the newest (default), 2 the one before", short="n", value="N"),),
        reads=True,
    ),
    *BUILDING,
    Verb("certs", "certs:certs", "list SSL certificates", reads=True),
    Verb(
        "certs:add",
        "certs:add",
        "add a certificate and its key (PEM files)",
        words="CRT KEY",
        least=2,
        most=2,
    ),
    Verb(
        "certs:generate",
        "generate:generate",
        "make a key and a signing request for a domain",
        *_HOST,
        flags=_MAKE,
    ),
    Verb("certs:info", "certs:info", "show a certificate", flags=(_CERT,), reads=True),
    Verb("certs:remove", "certs:remove", "take a certificate out of use", flags=(_CERT, _CONFIRM)),
    Verb(
        "certs:update",
        "certs:update",
        "put another certificate and key in the place of one",
        words="CRT KEY",
        least=2,
        most=2,
        flags=(_CERT, _CONFIRM),
    ),
    Verb("certs:auto", "certs:auto", "show how automatic certificates stand", reads=True),
    Verb("certs:auto:enable", "certs:auto_enable", "fetch and renew certificates for the app's domains"),
    Verb(
        "certs:auto:disable",
        "certs:auto_disable",
        "stop that, and remove the certificates that were fetched",
        flags=(_CONFIRM,),
    ),
    Verb("certs:auto:refresh", "certs:auto_refresh", "try failed domains again at once"),
    Verb("config", "config:config", "show config vars", flags=(_SHELL,), reads=True),
    Verb(
        "config:get",
        "config:get",
        "print config vars' values",
        words="KEY...",
        least=1,
        most=None,
        flags=(_SHELL,),
        reads=True,
    ),
    Verb(
        "config:set",
        "config:set_vars",
        "set config vars and restart",
        words="KEY=VALUE...",
        least=1,
        most=None,
        aliases=("config:add",),
    ),
    Verb(
        "config:unset",
        "config:unset",
        "remove config vars and restart",
        words="KEY...",
        least=1,
        most=None,
        aliases=("config:remove",),
    ),
    Verb("domains", "domains:domains", "list an app's domains", reads=True),
    Verb(
        "domains:add",
        "domains:add",
        "add a domain, such as www.example.com or *.example.com",
        *_HOST,
        (_SHOWN,),
        reads=True,
    ),
    Verb("domains:info", "domains:info", "show a domain", *_HOST, reads=True),
    Verb("domains:remove", "domains:remove", "remove a domain", *_HOST),
    Verb("domains:update", "domains:update", "choose whose certificate a domain shows", *_HOST, (_SHOWN,)),
    Verb("domains:clear", "domains:clear", "remove all domains"),
    Verb(
        "domains:wait",
        "domains:wait",
        "wait until a domain answers, which it does at once",
        "[HOSTNAME]",
        0,
        1,
    ),
    Verb(
        "env",
        "account:env",
        "print the exports that point the official heroku CLI, and git, at this machine",
        app=False,
        reads=True,
    ),
    Verb(
        "explain",
        "ps:explain",
        "show what is mounted and limited for a dyno",
        words="DYNO",
        least=1,
        most=1,
        reads=True,
    ),
    Verb("features", "features:features", "list app features", aliases=("labs",), reads=True),
    Verb("features:info", "features:info", "show an app feature", *_FEATURE, (), ("labs:info",), reads=True),
    Verb("features:enable", "features:enable", "switch an app feature on", *_FEATURE, (), ("labs:enable",)),
    Verb(
        "features:disable", "features:disable", "switch an app feature off", *_FEATURE, (), ("labs:disable",)
    ),
    Verb("git:remote", "git:remote", "point a git remote (default heroku) at an app", words="[APP]", most=1),
    Verb(
        "git:credentials",
        "git:credentials",
        "answer git's credential questions (git calls this itself)",
        words="get|store|erase",
        least=1,
        most=1,
        app=False,
    ),
    Verb("help", "help:show", "show the verbs, or one verb", words="[VERB]", most=1, app=False),
    Verb(
        "lab:advance",
        "lab:advance",
        "let time pass at once (24h, 90m, 1d2h), where dynod.toml says lab_time = true: dynos cycle, sleep, are tried again",
        words="TIME",
        least=1,
        most=1,
        flags=(Flag("wall", "set the wall clock alone, as NTP would; -- -24h sets it back: no time passes"),),
        app=False,
        reads=True,
    ),
    Verb(
        "logs",
        "logs:logs",
        "show log lines",
        flags=(
            Flag("tail", "go on with new lines as they come", short="t"),
            Flag("num", "how many lines of history (default 100)", short="n", value="N"),
            Flag("source", "only lines from app or from heroku (the platform)", short="s", value="SOURCE"),
            _DYNO,
            _PROCESS,
        ),
        reads=True,
    ),
    Verb("maintenance", "apps:maintenance", "print whether maintenance mode is on", reads=True),
    Verb("maintenance:on", "apps:maintenance_on", "answer every request with the maintenance page"),
    Verb("maintenance:off", "apps:maintenance_off", "let requests through again"),
    Verb(
        "metrics",
        "metrics:metrics",
        "show what came of an app's requests: statuses, codes, bytes, latencies",
        reads=True,
    ),
    Verb("ps", "ps:ps", "list dynos", words="[TYPE...]", most=None, reads=True),
    Verb(
        "ps:copy",
        "inside:copy",
        "copy a file out of a dyno",
        words="FILE",
        least=1,
        most=1,
        flags=(
            _WHERE,
            Flag("output", "where to put it (default its own name here)", short="o", value="PATH"),
        ),
    ),
    Verb(
        "ps:exec",
        "run:exec_",
        "run a shell, or a command, in a dyno that runs, beside what runs there",
        words="[-- COMMAND...]",
        most=None,
        flags=(_WHERE, _NO_TTY, _ENV),
        passes=True,
    ),
    Verb(
        "ps:forward",
        "inside:forward",
        "let ports of this machine lead to ports of a dyno until Ctrl-C; those must listen on 0.0.0.0",
        words="PORT|LOCAL:REMOTE[,...]",
        least=1,
        most=1,
        flags=(_WHERE,),
    ),
    Verb(
        "ps:restart",
        "ps:restart",
        "restart all dynos, those of a type, or one",
        words="[DYNO|TYPE]",
        most=1,
        flags=(_DYNO, _PROCESS),
        aliases=("restart", "dyno:restart"),
    ),
    Verb(
        "ps:scale",
        "ps:scale",
        "set how many dynos of which size run; without words, show it",
        words="[TYPE=N[:SIZE]|TYPE+N|TYPE-N...]",
        most=None,
        aliases=("scale", "dyno:scale"),
        reads=True,
    ),
    Verb(
        "ps:stop",
        "ps:stop",
        "stop a dyno or all of a type (formation dynos come back)",
        words="[DYNO|TYPE]",
        most=1,
        flags=(_DYNO, _PROCESS),
        aliases=("stop", "kill", "ps:kill", "dyno:stop", "dyno:kill"),
    ),
    Verb(
        "ps:type",
        "ps:size",
        "show dyno sizes, or set them",
        words="[SIZE|TYPE=SIZE...]",
        most=None,
        aliases=("ps:resize", "resize", "dyno:type", "dyno:resize"),
        reads=True,
    ),
    Verb(
        "releases",
        "releases:releases",
        "list releases, the newest first",
        flags=(Flag("num", "how many (default 15)", short="n", value="N"),),
        reads=True,
    ),
    Verb(
        "releases:info",
        "releases:info",
        "show a release (default the newest)",
        words="[RELEASE]",
        most=1,
        flags=(_SHELL,),
        reads=True,
    ),
    Verb(
        "releases:output",
        "releases:output",
        "print what the release command said, live while it runs",
        words="[RELEASE]",
        most=1,
    ),
    Verb(
        "releases:rollback",
        "releases:rollback",
        "make a new release like an older one (default the one before)",
        words="[RELEASE]",
        most=1,
        aliases=("rollback",),
    ),
    Verb(
        "run",
        "run:run",
        "run a command in a one-off dyno, attached to this terminal; its exit status becomes this one's",
        words="COMMAND...",
        least=1,
        most=None,
        flags=(
            _EXIT_CODE,
            _NO_TTY,
            Flag("no-notify", "accepted for Heroku's sake, there is nothing to notify"),
            _ENV,
            _SIZE,
            _TYPE,
        ),
        passes=True,
    ),
    Verb(
        "run:detached",
        "run:detached",
        "run a command in a one-off dyno whose output goes to the log",
        words="COMMAND...",
        least=1,
        most=None,
        flags=(Flag("tail", "show its log lines", short="t"), _ENV, _SIZE, _TYPE),
        passes=True,
        reads=True,
    ),
    Verb(
        "run:inside",
        "run:inside",
        "run a command in a dyno that runs, beside what runs there; its exit status becomes this one's",
        words="DYNO COMMAND...",
        least=2,
        most=None,
        flags=(_EXIT_CODE, _NO_TTY, _ENV),
        passes=True,
    ),
    Verb(
        "why",
        "causes:why",
        "say why a dyno started and stopped, each time: release, config, scale, crash, memory, cycle, and by whom",
        words="DYNO",
        least=1,
        most=1,
        flags=(Flag("num", "how many lines, the newest (default 30)", short="n", value="N"),),
        reads=True,
    ),
    Verb("version", "help:version", "print the version", app=False),
)


def _named() -> Iterable[tuple[str, Verb]]:
    for verb in VERBS:
        for name in (verb.name, *verb.aliases):
            yield name, verb


BY_NAME: dict[str, Verb] = dict(_named())
