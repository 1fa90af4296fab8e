#!/bin/sh
# Install rabbitmq-server with apt, as root, without letting it start: the local stack runs a node of its own, and a
# second broker on the default ports would only be in somebody's way. A broker or port mapper that runs already is
# left alone, and so is a policy for service starts that the machine has of its own.
set -eu

policy="${POLICY_RC_D:-/usr/sbin/policy-rc.d}"
kept="$policy.before-local-stack"

restore() {
    rm -f "$policy"
    if [ -e "$kept" ]; then mv "$kept" "$policy"; fi
}

runs() { ps -e -o comm= | grep -qx "$1"; }

denied="rabbitmq-server|rabbitmq-server.service"
runs epmd || denied="$denied|epmd|epmd.service|epmd.socket"

if [ -e "$kept" ]; then restore; fi  # an earlier run was killed in the middle
if [ -e "$policy" ]; then mv "$policy" "$kept"; fi
trap restore EXIT
trap 'exit 130' INT TERM HUP

# 101 means: not allowed. Every other service is decided as it was before.
cat >"$policy" <<POLICY
#!/bin/sh
case "\$1" in
    $denied) exit 101 ;;
esac
if [ -x "$kept" ]; then exec "$kept" "\$@"; fi
exit 0
POLICY
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
apt-get update -q || true  # an unreachable extra source must not stop us; the next line decides
apt-get install -q -y --no-install-recommends rabbitmq-server

# The package enables its service for the next boot as well.
if [ -d /run/systemd/system ]; then systemctl disable rabbitmq-server.service || true; fi
