"""The classic buildpack contract, with strangers' packs run as real processes, and the transcript to the letter."""

import io
import subprocess
import tarfile

import pytest
from building import REPOSITORY, Build, pack, tree


@pytest.fixture
def build(tmp_path):
    return Build(tmp_path / "rooms") if (tmp_path / "rooms").mkdir() is None else None


@pytest.fixture
def app(tmp_path):
    return tree(tmp_path / "source", {"Procfile": "web: ./run\n", "run": "#!/bin/sh\n"})


def test_the_whole_transcript_of_an_app_that_needs_no_build(build, app):
    assert build.run(app) == 0
    lines = build.output.splitlines()
    assert lines[:-1] == [
        "-----> Building on the Debian-12 stack",
        "-----> Determining which buildpack to use for this app",
        "-----> Procfile app detected",
        "       Nothing to compile",
        "-----> Discovering process types",
        "       Procfile declares types -> web",
        "",
        "-----> Compressing...",
    ]
    assert lines[-1] == f"       Done: {build.slug.stat().st_size / 1024:.1f}K"
    assert build.manifest["process_types"] == {"web": "./run"}
    assert build.manifest["buildpack"] == "Procfile"
    assert build.manifest["buildpacks"] == ["heroku/procfile"]
    assert build.manifest["detected"] is True
    assert build.manifest["unpacked"] == len("web: ./run\n") + len("#!/bin/sh\n")


def test_the_same_push_makes_the_same_slug(build, app):
    build.run(app)
    first = build.manifest["sha256"]
    build.run(app)
    assert build.manifest["sha256"] == first
    (app / "run").write_text("#!/bin/bash\n")
    build.run(app)
    assert build.manifest["sha256"] != first


def test_what_a_pack_is_given(build, app, tmp_path):
    """Directories as arguments, config vars as files alone, Heroku's environment and none of ours."""
    build.buildpacks = [
        pack(
            tmp_path / "pack",
            compile='cd "$1"; env | cut -d= -f1 | sort > names; env > values; pwd > where; ls "$3" > vars; cat "$3/SECRET" > secret',
        )
    ]
    build.config = {"SECRET": "s3 cret\nline", "PATH": "/evil"}
    assert build.run(app) == 0
    inside = build.unpack(tmp_path)
    assert (inside / "vars").read_text() == "PATH\nSECRET\n"
    assert (inside / "secret").read_text() == "s3 cret\nline"
    assert (inside / "where").read_text().startswith(str(tmp_path / "rooms/build1/tmp/build_"))
    values = dict(line.split("=", 1) for line in (inside / "values").read_text().splitlines())
    assert values["HOME"] == str(tmp_path / "rooms/app")
    assert {
        name: values.get(name) for name in ("STACK", "SOURCE_VERSION", "REQUEST_ID", "BUILDPACK_LOG_FILE")
    } == {
        "STACK": "debian-12",
        "SOURCE_VERSION": "c0ffee",
        "REQUEST_ID": "r-1",
        "BUILDPACK_LOG_FILE": "/dev/null",
    }
    assert values["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert values["CURL_CONNECT_TIMEOUT"] == "30"
    assert values["CURL_TIMEOUT"] == "180"
    for name in ("SECRET", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "SLUGC_APP_DIR", "DYNO"):
        assert name not in values


def test_several_packs_in_order_with_exports_and_the_last_ones_word(build, app, tmp_path):
    one = pack(
        tmp_path / "one",
        detect="echo Helper",
        compile='echo "       one"; echo "tool" > "$1/made-by-one"; echo kept > "$2/shared"; '
        'echo "export TOOL=\'a b\' PATH=$1/bin:\\$PATH" > "$(dirname $0)/../export"',
        release='printf "default_process_types:\\n  web: theirs\\n  console: irb\\n"',
    )
    two = pack(
        tmp_path / "two",
        detect='test -f "$1/made-by-one" && echo Language',
        compile='echo "       two $TOOL"; case $PATH in "$1/bin:"*) ;; *) exit 9;; esac; cat "$2/shared"',
        release='printf "addons: [db]\\ndefault_process_types:\\n  web: default\\n  rake: rake\\n"',
    )
    build.buildpacks = [one, two]
    assert build.run(app) == 0, build.output
    assert build.output.splitlines()[1:12] == [
        "-----> Using buildpacks:",
        f"       1. {one}",
        f"       2. {two}",
        "-----> Helper app detected",
        "       one",
        "-----> Language app detected",
        "       two a b",
        "kept",
        "-----> Discovering process types",
        "       Procfile declares types     -> web",
        "       Default types for buildpack -> rake",
    ]
    assert build.manifest["process_types"] == {"rake": "rake", "web": "./run"}
    assert build.manifest["buildpack"] == "Language"
    assert build.manifest["buildpacks"] == [one, two]
    assert build.manifest["detected"] is False
    assert build.manifest["addons"] == ["db"]


def test_one_pack_that_was_asked_for_is_named(build, app):
    build.buildpacks = ["procfile"]
    assert build.run(app) == 0
    assert "-----> Using buildpack: heroku/procfile\n-----> Procfile app detected\n" in build.output


def test_what_a_pack_writes_to_stderr_stands_in_its_place(build, app, tmp_path):
    build.buildpacks = [
        pack(tmp_path / "pack", compile="for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    ]
    build.run(app)
    assert "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n" in build.output


def test_a_failed_compile(build, app, tmp_path):
    build.buildpacks = [pack(tmp_path / "pack", detect="echo Node.js", compile="echo bad; exit 3")]
    assert build.run(app) == 1
    assert build.output.endswith(
        "bad\n\n !     Push rejected, failed to compile Node.js app.\n\n !     Push failed\n"
    )
    assert build.manifest == {}
    assert not build.slug.exists()


def test_a_procfile_that_declares_nothing_is_told_with_its_lines(build, tmp_path):
    assert build.run(tree(tmp_path / "source", {"Procfile": "web ./run\n"})) == 0
    assert build.output.splitlines()[5:7] == [
        "       Procfile declares types -> (none)",
        " !     Warning: line 1 of the Procfile is no `type: command` and is left out: 'web ./run'",
    ]


def test_a_procfile_that_leads_to_itself_is_none(build, tmp_path):
    source = tree(tmp_path / "source", {"run": ""})
    (source / "Procfile").symlink_to("Procfile")
    build.buildpacks = [pack(tmp_path / "pack")]
    assert build.run(source) == 0
    assert "Procfile declares types -> (none)" in build.output


def test_no_language(build, tmp_path):
    assert build.run(tree(tmp_path / "source", {"README": "nothing"})) == 1
    assert build.output.splitlines() == [
        "-----> Building on the Debian-12 stack",
        "-----> Determining which buildpack to use for this app",
        " !     No default language could be detected for this app.",
        "\t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.",
        "\t\t\tSee https://devcenter.heroku.com/articles/buildpacks",
        "",
        " !     Push failed",
    ]


def test_a_pack_that_does_not_want_the_app(build, app, tmp_path):
    path = pack(tmp_path / "pack", detect="echo no such file >&2; exit 1")
    build.buildpacks = [path]
    assert build.run(app) == 1
    assert build.output.endswith(
        f"-----> App not compatible with buildpack: {path}\n       no such file\n\n"
        "       More info: https://devcenter.heroku.com/articles/buildpacks#detection-failure\n\n !     Push failed\n"
    )


def test_two_languages_are_told_and_the_first_is_used(build, tmp_path):
    source = tree(tmp_path / "source", {"package.json": "{", "requirements.txt": "", "Procfile": "web: x\n"})
    assert build.run(source) == 1
    assert (
        " !     Warning: Multiple default buildpacks reported the ability to handle this app. "
        "The first buildpack in the list below will be used.\n"
        "\t\t\tDetected buildpacks: Node.js,Python\n" in build.output
    )
    assert "-----> Node.js app detected\n" in build.output
    assert " !     Error: Unable to parse package.json.\n" in build.output


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("exit 4", "cannot release: bin/release of {pack} ended with status 4"),
        ("echo hello", "cannot read what bin/release of {pack} printed: line 1: not `key: value`"),
        ("printf '\\377'", "cannot read what bin/release of {pack} printed: "),
    ],
)
def test_a_release_that_cannot_be_read_fails_the_build(build, app, tmp_path, release, said):
    path = pack(tmp_path / "pack", release=release)
    build.buildpacks = [path]
    assert build.run(app) == 1
    assert said.format(pack=path) in build.output
    assert build.output.endswith(" !     Push failed\n")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "heroku/cobol",
            "cannot find buildpack heroku/cobol: this machine ships heroku/nodejs, heroku/python",
        ),
        ("ext::sh -c id", "cannot find buildpack ext::sh -c id"),
        ("--upload-pack=id", "cannot find buildpack --upload-pack=id"),
        ("/nowhere", "cannot use buildpack /nowhere: there is no such directory"),
        ("file:///nowhere.git", "cannot use buildpack file:///nowhere.git: git says: "),
        ("file:///nowhere.tgz", "cannot use buildpack file:///nowhere.tgz: "),
    ],
)
def test_a_pack_that_cannot_be_had_is_named(build, app, asked, said):
    build.buildpacks = [asked]
    assert build.run(app) == 1
    assert said in build.output


def test_a_directory_without_compile_is_no_pack(build, app, tmp_path):
    build.buildpacks = [str(tree(tmp_path / "pack", {"bin/detect": "#!/bin/sh\necho x\n"}))]
    assert build.run(app) == 1
    assert "it has no bin/compile" in build.output


def git(directory, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, "-C", directory, *arguments], check=True, capture_output=True)


def test_a_pack_from_git_at_a_branch_tag_or_commit(build, app, tmp_path):
    path = tmp_path / "pack.git"
    pack(path, compile="echo first")
    git(path, "init", "-q")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "1")
    git(path, "tag", "v1")
    git(path, "switch", "-qc", "other")
    pack(path, compile="echo second")
    git(path, "commit", "-qam", "2")
    git(path, "switch", "-q", "main")
    for ref, said in (("", "first"), ("#v1", "first"), ("#other", "second")):
        build.buildpacks = [f"file://{path}{ref}"]
        assert build.run(app) == 0, build.output
        assert f"\n{said}\n" in build.output
        assert build.manifest["buildpacks"] == build.buildpacks


@pytest.mark.parametrize("prefix", ["", "pack-main/"])
def test_a_pack_from_an_archive(build, app, tmp_path, prefix):
    pack(tmp_path / "pack", compile="echo packed")
    with tarfile.open(tmp_path / "pack.tgz", "w:gz") as tar:
        tar.add(tmp_path / "pack" / "bin", f"{prefix}bin")
    build.buildpacks = [f"file://{tmp_path}/pack.tgz"]
    assert build.run(app) == 0, build.output
    assert "\npacked\n" in build.output


def test_a_hostile_pack_archive_is_refused(build, app, tmp_path):
    with tarfile.open(tmp_path / "pack.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("../../evil")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    build.buildpacks = [f"file://{tmp_path}/pack.tgz"]
    assert build.run(app) == 1
    assert "leaves the tree" in build.output


def test_the_cache_is_kept_between_builds_until_the_stack_changes(build, app, tmp_path):
    build.buildpacks = [
        pack(tmp_path / "pack", compile='cat "$2/n" 2>/dev/null || echo empty; echo kept > "$2/n"')
    ]
    build.run(app)
    assert "\nempty\n" in build.output
    build.run(app)
    assert "\nkept\n" in build.output
    build.stack = "debian-13"
    build.run(app)
    assert "-----> Clearing the build cache, it was made on debian-12\n" in build.output
    assert "\nempty\n" in build.output


def test_slugignore_is_applied_before_packs_look(build, tmp_path):
    source = tree(
        tmp_path / "source", {"Procfile": "web: x\n", "package.json": "{}", ".slugignore": "package.json\n"}
    )
    assert build.run(source) == 0
    assert "-----> Deleting 1 files matching .slugignore patterns.\n" in build.output
    assert "-----> Procfile app detected\n" in build.output


def test_a_source_that_is_too_large_is_refused(build, tmp_path):
    source = tree(tmp_path / "source", {"Procfile": "web: x\n", "big": "x" * 2_000_000})
    build.request = {"checkout_bytes": 1_000_000}
    assert build.run(source) == 1
    assert "cannot unpack the source: its files are larger than 976.6K together" in build.output


def test_a_slug_that_is_too_large_is_refused(build, app, tmp_path):
    build.buildpacks = [pack(tmp_path / "pack", compile='head -c 300000 /dev/urandom > "$1/noise"')]
    build.request = {"slug_bytes": 200_000}
    assert build.run(app) == 1
    assert " !     Compiled slug size: 293." in build.output
    assert "K is too large (max is 195.3K).\n" in build.output
    assert not build.slug.exists()


def test_what_no_slug_can_hold_is_told(build, app, tmp_path):
    build.buildpacks = [pack(tmp_path / "pack", compile='mkfifo "$1/pipe"')]
    assert build.run(app) == 0
    assert " !     Warning: left out of the slug, it is a socket, pipe or device: pipe\n" in build.output


def test_an_app_without_process_types_still_makes_a_slug(build, app, tmp_path):
    (app / "Procfile").unlink()
    build.buildpacks = [pack(tmp_path / "pack")]
    assert build.run(app) == 0
    assert "       Procfile declares types -> (none)\n" in build.output
    assert build.manifest["process_types"] == {}


def test_the_compiler_is_the_standard_library_alone():
    """It runs in a build dyno, where nothing of the house but slugc itself needs to be seen."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        "import slugc.compile, slugc.packs.python.compile, slugc.packs.nodejs.compile\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    argv = ["/usr/bin/python3", "-IS", "-c", code, str(REPOSITORY)]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split() == ["slugc"]
