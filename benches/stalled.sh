#!/usr/bin/env bash
# Whether one consumer that reads nothing delays the 99 others of its topic: the time from publish to
# receipt with all of them reading and with one stopped, in turn.
#
#   cargo build --release && bash benches/stalled.sh [ROUNDS]       3 by default; takes 90 s
#
# Needs curl and python3.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
dpmq=${DPMQ_BIN:-target/release/dpmq}
dir=$(mktemp -d "${DPMQ_BENCH_DIR:-target}/stalled.XXXXXX")
url=http://127.0.0.1:28112
server= stalled=
trap '[ -z "$stalled" ] || kill -9 "$stalled"; kill "$server"; wait "$server"; rm -rf "$dir"' EXIT

"$dpmq" --host 127.0.0.1 --port 28112 --set mq.persistentFile="$dir/data" --set log.file=0 \
  --set mq.pushMessagesSpeed=0 --set mq.outboxMiB=1 2>"$dir/log" &
server=$!
until curl -fs -o "$dir/ready" "$url/health/ready"; do sleep 0.01; done
latency() { # title, topic
  "$dpmq" bench --url "$url" --json --topic "$2" --consumers 99 --producers 1 --rate 4000 --duration 12 2>>"$dir/log" |
    python3 -c 'import json, sys
receipt = json.load(sys.stdin)["receipt_ms"]
print("%-20s receipt p50 %.2f ms, p99 %.2f ms" % (sys.argv[1], receipt["p50"], receipt["p99"]))' "$1"
}
for round in $(seq "$rounds"); do
  latency 'all read' "reading$round"
  "$dpmq" listen "stalled$round" --url "$url" >"$dir/heard" 2>&1 &
  stalled=$!
  until curl -fs -X POST -H 'secretKey: dpmq' "$url/Console/GetConsumers" | grep -q "stalled$round"; do sleep 0.05; done
  kill -STOP "$stalled"
  latency 'one reads nothing' "stalled$round"
  kill -9 "$stalled"; wait "$stalled" 2>/dev/null || true; stalled=
done
