# Sourced in every dyno before its command.
export GREETING="${GREETING:-Hello from .profile}"
