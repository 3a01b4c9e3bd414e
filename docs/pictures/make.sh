#!/usr/bin/env bash
# Makes the pictures of this directory from the running demo. Needs Chromium, curl and jq.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
cargo build -q
target/debug/outpost demo --json --listen 127.0.0.1:0 --edge-listen 127.0.0.1:0 --log error > "$work/told" &
demo=$!
trap 'kill $demo; wait $demo; rm -rf "$work"' EXIT
until [ -s "$work/told" ]; do sleep 0.1; done
hub=$(jq -r .hub "$work/told")
edge=$(jq -r .edge "$work/told")

# shot NAME WIDTH,HEIGHT ADDRESS
shot() {
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$work/$1" --window-size="$2" \
        --force-device-scale-factor="${4:-1}" --virtual-time-budget=2000 --screenshot="docs/pictures/$1.png" "$3" > "$work/log" 2>&1
}
# field PAGE NAME: the value of a hidden field
field() { grep -o "name=\"$2\" value=\"[^\"]*\"" "$1" | head -n 1 | sed 's/.*value="//; s/"$//'; }
# switch cut|restore
switch() {
    curl -s -b "$work/jar" -c "$work/jar" "$hub/demo" > "$work/page"
    curl -s -b "$work/jar" -o "$work/answer" --data-urlencode "_csrf=$(field "$work/page" _csrf)" --data "_do=$1&_to=/demo" "$hub/demo/link"
}

record=$(curl -s "$hub/demo" | grep -o 'next=/records/[^"]*/edit' | head -n 1 | sed 's/next=//; s/.edit$//')
switch cut
shot demo 1280,820 "$hub/demo"
shot form-on-a-phone 390,844 "$edge/demo/as/1?next=$record/edit" 1.5
shot record 1280,900 "$hub/demo/as/0?next=$record"
