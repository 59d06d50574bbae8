#!/bin/sh
# The command line of the packaged Nymph, on the Node that is packed beside it.
set -eu
here=$(dirname "$(readlink -f "$0")")
exec "$here/node" --disable-warning=ExperimentalWarning \
  "$here/../program/dist/main/shells/cli/main.js" "$@"
