#!/usr/bin/env bash
# Photographs every page of the gallery at 390 and 1280 px, light and dark, then the special modes; runs axe over all of them and
# checks the contrast of the colour roles. Ends with 0 when there is nothing to put right.
# Usage: tests/shots.sh [folder for the pictures] [pages by name…]. Needs Chromium, node and npm.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$(mktemp -d)}
[ $# -gt 0 ] && shift
tools=${UI_TOOLS:-${TMPDIR:-/tmp}/ui-tools}
pages="$out/pages"
mkdir -p "$out" "$tools" "$pages"
[ -d "$tools/node_modules/axe-core" ] || npm install --silent --no-audit --no-fund --prefix "$tools" playwright-core axe-core
OUTPOST_GALLERY="$pages" cargo test --quiet --manifest-path "$here/Cargo.toml" --test gallery the_gallery >/dev/null
node "$here/tests/contrast.mjs"
cp "$here/tests/shots.mjs" "$tools/gallery-shots.mjs"
node "$tools/gallery-shots.mjs" "$pages" "$here/static" "$out" "$@"
