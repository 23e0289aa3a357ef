#!/usr/bin/env bash
# Rotates one field of a secret into a file that a service reads, now and every Monday at three in Berlin.
#
#   TURNLOCK_ADDR=… TURNLOCK_TOKEN=… examples/rotate_into_file.sh secret/app/db password /run/app/db-password
#
# The file lies in a folder that the agent was given: `target_dirs` in the server's stanza `agent`, or -target-dir. It is replaced at once, never half written. With "pid_file" in the target the service also gets a SIGHUP.
set -euo pipefail
secret=$1 field=$2 file=$3
printf '[{"name": "file", "type": "file", "path": "%s", "mode": "0600"}]' "$file" |
  turnlock rotate set "$secret" -field="$field" -targets=- -schedule='0 3 * * 1' -zone=Europe/Berlin
turnlock rotate run "$secret"
# The newest attempt comes first.
while state=$(turnlock rotate history -format=json "$secret" | grep -m1 '"state"'); do
  case $state in
    *succeeded*) break ;;
    *failed* | *aborted*) turnlock rotate history "$secret" >&2; exit 1 ;;
  esac
  sleep 0.2
done
turnlock rotate history "$secret"
