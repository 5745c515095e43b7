"""The `slugc` command: `build BUILD_ROOT DIR` in a build dyno, `compile BUILD_ROOT CACHE_DIR` the same without what is carried in and out,
`receive` as git's pre-receive hook on the host.
"""

import sys

USAGE = "usage: slugc build BUILD_ROOT DIR | slugc compile BUILD_ROOT CACHE_DIR | slugc receive"


def main() -> int:
    # each word imports only what it needs: the one runs without site packages, the other must start at once
    match sys.argv[1:]:
        case ["build", build_root, own]:
            from slugc.carry import main as build_main  # noqa: PLC0415

            return build_main(build_root, own)
        case ["compile", build_root, cache_dir]:
            from slugc.compile import main as compile_main  # noqa: PLC0415

            return compile_main(build_root, cache_dir)
        case ["receive"]:
            from slugc.receive import main as receive_main  # noqa: PLC0415

            return receive_main()
        case _:
            print(USAGE, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
