"""The `slugc` command: `compile BUILD_ROOT CACHE_DIR` in a build dyno, `receive` as git's pre-receive hook on the host."""

import sys

USAGE = "usage: slugc compile BUILD_ROOT CACHE_DIR | slugc receive"


def main() -> int:
    # each word imports only what it needs: the one runs without site packages, the other must start at once
    match sys.argv[1:]:
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
