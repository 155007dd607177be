#!/bin/sh
# The one command of the GPU pack: unpacks beside itself (or into a temporary folder where that cannot be written) with
# tar and gzip, finds a C++ runtime for the Node that it carries, and hands over to run.mjs. `./run.sh --help` tells the rest.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
version=$(cat "$here/VERSION")
home=${SCION_PACK_HOME:-$here/unpacked}
if ! mkdir -p "$home" 2>/dev/null || [ ! -w "$home" ]; then
  home=${TMPDIR:-/tmp}/scion-gpu-pack
  mkdir -p "$home"
fi
if [ "$(cat "$home/VERSION" 2>/dev/null || true)" != "$version" ]; then
  echo "unpacking into $home" >&2
  rm -rf "$home/bin" "$home/app" "$home/lib" "$home/node_modules" "$home/VERSION"
  gzip -dc "$here/pack.tar.gz" | tar -xf - -C "$home"
  printf '%s\n' "$version" >"$home/VERSION"
fi
node=$home/bin/node
loads="process.dlopen({ exports: {} }, '$home/node_modules/webgpu/dist/linux-x64/dawn.node')"
if ! "$node" -e "$loads" 2>/dev/null; then
  LD_LIBRARY_PATH=$home/lib/cxx${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export LD_LIBRARY_PATH
  if ! why=$("$node" -e "$loads" 2>&1); then
    echo "the pack's Node or Dawn does not start here (it needs Linux x64 with glibc 2.28 or newer): $why" >&2
    exit 3
  fi
fi
exec "$node" "$home/app/run.mjs" "$@"
