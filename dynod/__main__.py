"""The `dynod` command: each process of the platform is one word of it."""


def main() -> None:
    raise SystemExit("cannot start: not built yet")


if __name__ == "__main__":
    main()
