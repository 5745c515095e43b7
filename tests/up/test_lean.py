"""What idles for good holds no module that it never uses, and what a start has left behind is let go without harm."""

import ctypes
import json
import subprocess
import sys

import pytest

from dynod import lean

# What each program must not have imported when it is about to serve: by word of `dynod`, or the module that is run.
SPARED = {
    "serve": {
        "aiohttp.client",
        "prometheus_client",
        "http.server",
        "pyroute2",
        "h2",
        "dynod.jail.enter",
        "ast",
        "bz2",
        "lzma",
        "cryptography.hazmat.primitives.serialization.ssh",
        "urllib.request",
        "html.entities",
    },
    "net": {
        "ast",
        "ssl",
        "_ssl",
        "_hashlib",
        "uvloop",
        "pyroute2",
        "cryptography",
        "aiohttp",
        "dynod.core",
        "dynod.engine",
    },
    "logplex": {
        "ast",
        "bz2",
        "lzma",
        "_ssl",
        "_hashlib",
        "cryptography",
        "aiohttp",
        "dynod.core",
        "dynod.engine",
    },
    "router.__main__": {
        "ast",
        "email",
        "h2",
        "hpack",
        "hyperframe",
        "router.h2",
        "html.entities",
        "cryptography",
        "aiohttp",
    },
    "dynod.jail.__main__": {
        "ast",
        "asyncio",
        "ssl",
        "_ssl",
        "_hashlib",
        "logging",
        "subprocess",
        "uuid",
        "msgpack",
    },
}


@pytest.mark.parametrize("word", SPARED)
def test_an_idle_program_has_not_imported(word):
    load = f"import {word}" if "." in word else f"import dynod.__main__ as program; program._main({word!r})"
    code = f"import json, sys; {load}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert SPARED[word] & set(json.loads(done.stdout)) == set()


def in_a_process(code):
    """Run it by itself: modules that are there already are nobody's to keep out."""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_module_is_kept_out_of_a_block_alone():
    code = """
from dynod import lean
with lean.without("wave", "json"):
    try:
        import wave
    except ImportError:
        print("out")
    import json  # it was there, or is not
import wave
print(wave.__name__)
"""
    assert in_a_process("import json\n" + code) == ["out", "wave"]


def test_a_blank_module_has_whatever_is_asked_for_and_goes_away():
    code = """
from dynod import lean
with lean.blank("ssl"):
    import ssl, uvloop
    assert issubclass(ssl.SSLWantReadError, Exception) and ssl.SSL_ERROR_SYSCALL == 0
import ssl
print(ssl.OPENSSL_VERSION.split()[0])
with lean.blank("ssl"):
    import ssl as same
print(same is ssl)
"""
    assert in_a_process(code) == ["OpenSSL", "True"]


def package(tmp_path, init, module):
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text(init)
    (tmp_path / "heavy" / "light.py").write_text(module)
    return f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from dynod import lean; lean.bare('heavy', 'light'); "


def test_a_module_of_a_package_comes_without_the_rest_of_it(tmp_path):
    begin = package(tmp_path, '__version__ = "7.1"\nimport wave\n', "from . import __version__\n")
    assert in_a_process(
        f"{begin} import heavy.light; print(heavy.light.__version__, 'wave' in sys.modules)"
    ) == [
        "7.1",
        "False",
    ]


def test_a_package_that_cannot_be_taken_apart_comes_whole(tmp_path):
    begin = package(tmp_path, "import wave\n", "import heavy\nheavy.wave\n")
    assert in_a_process(f"{begin} import heavy.light; print('wave' in sys.modules)") == ["True"]
    assert in_a_process("from dynod import lean; lean.bare('there_is_none', 'x'); print('fine')") == ["fine"]


def test_code_pages_are_let_go_and_come_back():
    """Run it with all that a program of ours has in memory: who let go of the wrong page would crash here."""
    code = """
import dynod.daemon, sqlite3, ssl, hashlib
from cryptography.hazmat.primitives.asymmetric import ec
from dynod import lean

def resident():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))

def use():
    ec.generate_private_key(ec.SECP256R1())
    hashlib.sha256(b"x").hexdigest()
    ssl.create_default_context()
    sqlite3.connect(":memory:").execute("SELECT 1").fetchall()

use()
before = resident()
for _ in range(3):
    lean.settle()
    assert resident() < before - 4096, (before, resident())
    use()
print("whole")
"""
    assert in_a_process(code) == ["whole"]


def test_no_mapping_with_a_page_of_our_own_is_let_go():
    # Relocated, or written at the start.
    own = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "PyExc_OSError"))
    assert not [where for where in lean._code() if where[0] <= own < where[1]]
    assert lean._code()
