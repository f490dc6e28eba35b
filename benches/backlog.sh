#!/usr/bin/env bash
# What a backlog costs: memory, disk, the console, a start after kill -9, the time to an
# acknowledgement, and expiry, each beside the figure of an empty store where there is one.
#
#   cargo build --release && bash benches/backlog.sh [MESSAGES]     10,000,000 by default; takes 4 minutes
#
# Needs curl and python3, and 6 GB in the folder of the build (or DPMQ_BENCH_DIR).
set -euo pipefail
cd "$(dirname "$0")/.."
messages=${1:-10000000}
dpmq=${DPMQ_BIN:-target/release/dpmq}
dir=$(mktemp -d "${DPMQ_BENCH_DIR:-target}/backlog.XXXXXX")
url=http://127.0.0.1:28111
server=
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$dir"' EXIT

start() { # settings
  "$dpmq" --host 127.0.0.1 --port 28111 --set mq.persistentFile="$dir/data" --set log.file=0 \
    --set mq.pushMessagesSpeed=0 --set mq.messageChanBuffer=100000000 "$@" 2>>"$dir/log" &
  server=$!
  until curl -fs -o "$dir/ready" "$url/health/ready"; do sleep 0.01; done
}
stop() { kill "-${1:-TERM}" "$server"; wait "$server" 2>/dev/null || true; server=; }
# Prints fields of a run's report; a failed run ends the script.
load() { # fields, options
  local fields=$1; shift
  "$dpmq" bench --url "$url" --json "$@" >"$dir/report" 2>>"$dir/log"
  python3 - "$fields" "$dir/report" <<'PY'
import json, sys
report = json.load(open(sys.argv[2]))
def field(name):
    value = report
    for part in name.split("."):
        value = value[part]
    return f"{value:.2f}" if isinstance(value, float) and value < 1000 else f"{value:.0f}"
print(*(field(name) for name in sys.argv[1].split(",")))
PY
}
rss() { awk '/VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$server/status"; }
disk() { du -sb "$dir"/data* | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }
row() { printf '%-58s %s\n' "$1" "${*:2}"; }
measured() { # title, then as load
  local figures; figures=$(load "${@:2}"); row "$1" "$figures"
}
# The median and the slowest of 50 requests, in milliseconds.
requests() {
  for _ in $(seq 50); do curl -fs -o "$dir/answer" -w '%{time_total}\n' -H 'secretKey: dpmq' "$@"; done |
    sort -n | awk '{ t[NR] = $1 * 1000 } END { printf "%.1f / %.1f", t[25], t[50] }'
}

paced=(--rate 2000 --duration 20)
start
measured 'empty: ack p50 / p99 ms at 2,000/s' ack_ms.p50,ack_ms.p99 "${paced[@]}"
measured 'empty: acknowledged/s' acknowledged_per_s --count 400000
row 'empty: memory MiB' "$(rss)"
before=$(disk)
measured "fill with $messages: acknowledged/s" acknowledged_per_s --topic backlog --consumers 0 --count "$messages"
sleep 15
row 'full: memory MiB, settled' "$(rss)"
row 'full: disk, bytes a message, settled' $((($(disk) - before) / messages))
row 'full: overview ms, median / slowest of 50' "$(requests "$url/api/overview")"
row 'full: counts ms, median / slowest of 50' "$(requests -X POST "$url/Console/CountMessage")"
measured 'full, with sweep and snapshot: ack p50 / p99 ms' ack_ms.p50,ack_ms.p99 "${paced[@]}"
measured 'full: acknowledged/s' acknowledged_per_s --count 400000
row 'full: memory MiB' "$(rss)"
stop KILL
began=$(date +%s%N)
start
row 'start after kill -9, until it answers, ms' $((($(date +%s%N) - began) / 1000000))
stop
start --set mq.cleanTime=30
measured 'while everything expires: ack p50 / p99 ms' ack_ms.p50,ack_ms.p99 "${paced[@]}"
sleep 45
row 'expired: disk MiB' $(($(disk) >> 20))
row 'expired: memory MiB' "$(rss)"
stop
