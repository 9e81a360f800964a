#!/bin/bash
# Makes the users and groups by which a node of Holdfast shares rights, and gives them what is theirs in the data
# directory. For machines without systemd; with it, sysusers.d and tmpfiles.d do the same. Can be run again at any time:
# it changes what is not as it should be, and says so.
#
#   config/setup-users.sh [DIRECTORY...]     default: /var/lib/holdfast
set -euo pipefail

say() { echo "setup-users: $*"; }
fail() { echo "setup-users: $1" >&2; shift; printf '  %s\n' "$@" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "only root can do this" "Run: sudo $0 $*"
for tool in groupadd useradd usermod; do
  command -v "$tool" >/dev/null || fail "$tool is missing" "Debian: apt-get install passwd"
done
changed=0
note() { changed=1; say "$*"; }

# --- users and groups ------------------------------------------------------------------------------------------------
for group in holdfast holdfast-admin holdfast-agent; do
  grep -q "^$group:" /etc/group || { groupadd --system "$group"; note "made the group $group"; }
done
user() { # NAME GROUPS COMMENT
  if ! grep -q "^$1:" /etc/passwd; then
    useradd --system --gid "$1" --no-create-home --home-dir / --shell /usr/sbin/nologin --comment "$3" "$1"
    note "made the user $1"
  fi
  local group
  for group in $2; do
    grep -q "^$group:" /etc/group || continue # tss is there where a TPM is
    id -nG "$1" | tr ' ' '\n' | grep -qx "$group" || { usermod --append --groups "$group" "$1"; note "$1 is in the group $group"; }
  done
}
user holdfast holdfast-admin "Holdfast images"
user holdfast-agent "holdfast tss" "Holdfast agent"

# --- directories -----------------------------------------------------------------------------------------------------
# Some of them lie in directories of the user holdfast, who reads what strangers made: what is a directory now may be a link
# into the system a moment later. So each is entered, and what is changed is where this process then is.
enter() { # DIRECTORY
  cd -P -- "$1" && [ "$(readlink /proc/self/cwd)" = "$(realpath -- "$(dirname -- "$1")")/$(basename -- "$1")" ] ||
    fail "$1 is not a directory of its own" "Somebody has put a link there. Find out who, and remove it."
}
own() { # OWNER:GROUP MODE DIRECTORY
  local now=none
  [ -e "$3" ] && now="" || mkdir -m 0700 "$3"
  enter "$3"
  if [ "$now" = none ]; then note "made $3"; else
    now="$(stat -c '%U:%G %a' .)"
    [ "$now" = "$1 $2" ] || note "$3: $now is $1 $2 now"
  fi
  if [ "$now" != "$1 $2" ]; then
    chown "$1" .
    chmod "$2" .
  fi
}
# What root made there before there were users. Only in a directory that is still root's: in one that others can write
# to a file may be anything by another name.
hand_over() { # OWNER:GROUP MODE DIRECTORY [MODE OF FILES]
  if [ -e "$3" ]; then
    enter "$3"
    if [ "$(stat -c %u .)" = 0 ]; then
      find . -mindepth 1 -user root -exec chown -h "$1" {} +
      [ -z "${4:-}" ] || find . -maxdepth 1 -type f -exec chmod "$4" {} +
    fi
  fi
  own "$1" "$2" "$3"
}
[ $# -gt 0 ] || set -- /var/lib/holdfast
directories=()
for dir in "$@"; do directories+=("$(realpath -m -- "$dir")"); done
for dir in "${directories[@]}"; do
  [ -d "$(dirname "$dir")" ] || fail "$(dirname "$dir") is not there" "Make it, with the rights that it should have."
  own root:holdfast 750 "$dir"
  [ -e "$dir/cas" ] || mkdir -m 0755 "$dir/cas"
  hand_over holdfast:holdfast-admin 3771 "$dir/cas/sha256" 0444
  own holdfast:holdfast-admin 3771 "$dir/cas"
  hand_over holdfast:holdfast-admin 3771 "$dir/trees" 0444
  hand_over holdfast:holdfast-admin 3771 "$dir/tmp"
  for part in images refs; do hand_over holdfast:holdfast-admin 3775 "$dir/$part" 0444; done
  own root:holdfast 750 "$dir/pods"
  for state in embryo prepare prepared run exited-garbage garbage; do own root:holdfast 750 "$dir/pods/$state"; done
  hand_over holdfast-agent:holdfast-agent 700 "$dir/agent"
done
own root:holdfast-agent 1775 /run/holdfast
[ "$changed" = 1 ] || say "nothing was to be done"
