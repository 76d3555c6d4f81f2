#!/bin/sh
# Without arguments: the image's own module. With arguments: that command, for example `signalbox status`.
set -e
[ "$#" -gt 0 ] || set -- python -m "$SIGNALBOX_MODULE"
exec "$@"
