#!/usr/bin/env bash
# Gets the kernel that pods of the flavour kvm run: Debian's cloud kernel, out of its package, without installing it.
# Writes build/kernel/{vmlinuz,stamp,lib/modules/RELEASE/}, whole or not at all. apt checks the package's signature.
# Idempotent: asks for nothing while build/kernel has the modules that config/guest-modules names.
# Usage: config/guest-kernel.sh [--quiet] [--refresh]; --refresh takes the newest kernel there is
set -euo pipefail
cd "$(dirname "$0")/.."

quiet=0 refresh=0
for argument in "$@"; do
  case $argument in
    --quiet) quiet=1 ;;
    --refresh) refresh=1 ;;
    *) echo "guest-kernel: unknown option $argument; there are --quiet and --refresh" >&2; exit 254 ;;
  esac
done
fail() { echo "guest-kernel: $1" >&2; exit 254; }

list=$(sha256sum config/guest-modules | cut -d' ' -f1)
read -r had had_list 2>/dev/null <build/kernel/stamp || had='' had_list=''
if [ "$refresh" = 0 ] && [ "$had_list" = "$list" ]; then
  [ "$quiet" = 1 ] || echo "guest-kernel: $had is there" >&2
  exit 0
fi
command -v apt-get >/dev/null || fail 'this is not a Debian machine'
command -v depmod >/dev/null || fail 'depmod is not installed (package kmod)'

# linux-image-cloud-amd64 holds nothing itself: it depends on the newest kernel
find_package() { { apt-cache depends --important linux-image-cloud-amd64 2>/dev/null || true; } | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1; }
package=$(find_package)
if [ -z "$package" ] || [ "$refresh" = 1 ]; then
  [ "$(id -u)" = 0 ] && apt-get update -q >/dev/null 2>&1 || true
  package=$(find_package)
fi
[ -n "$package" ] || fail 'apt knows no linux-image-cloud-amd64; run apt-get update as root'
release=${package#linux-image-}

mkdir -p build
work=$(mktemp -d build/kernel.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/package" "$work/kernel"
# the sandbox user of apt could not write here
(cd "$work" && apt-get download -q -o APT::Sandbox::User=root "$package" >log 2>&1) \
  || { tail -n 5 "$work/log" >&2; fail "apt-get could not download $package"; }
dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work/package" "./boot/vmlinuz-$release" "./lib/modules/$release"
depmod -b "$work/package" "$release"

modules=lib/modules/$release
mkdir -p "$work/kernel/$modules"
cp "$work/package/boot/vmlinuz-$release" "$work/kernel/vmlinuz"
while read -r name; do
  line=$(grep "/$name\.ko:" "$work/package/$modules/modules.dep") || fail "$package has no module $name"
  echo "$line" | tr -d : | tr ' ' '\n' >>"$work/files"
done < <(grep -v '^#' config/guest-modules)
sort -u "$work/files" | grep . >"$work/needed"
(cd "$work/package/$modules" && xargs cp --parents -t "$OLDPWD/$work/kernel/$modules") <"$work/needed"
# modules.dep of what was taken
grep -F -f <(sed 's/$/:/' "$work/needed") "$work/package/$modules/modules.dep" >"$work/kernel/$modules/modules.dep"
echo "$(basename "$work"/*.deb .deb) $list" >"$work/kernel/stamp"
chmod -R u=rwX,go=rX "$work/kernel"
rm -rf build/kernel
mv "$work/kernel" build/kernel
echo "guest-kernel: build/kernel holds $(cut -d' ' -f1 build/kernel/stamp)" >&2
