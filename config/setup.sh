#!/usr/bin/env bash
# Brings a Debian machine to the point where `npm run demo`, `npm test` and `npm run bench` work: Debian packages, npm
# packages, build.
# Idempotent: when nothing is to be done it does nothing and is quick.
# Usage: config/setup.sh [--quiet] [--test] [--bench] [--tpm-roots]
set -euo pipefail
cd "$(dirname "$0")/.."

quiet=0 tests=0 bench=0 tpm_roots=0
for argument in "$@"; do
  case $argument in
    --quiet) quiet=1 ;;
    --test) tests=1 ;;
    --bench) bench=1 ;;
    --tpm-roots) tpm_roots=1 ;;
    *) echo "setup: unknown option $argument; there are --quiet, --test, --bench and --tpm-roots" >&2; exit 254 ;;
  esac
done
exec >&2 # standard output belongs to what comes after this, such as the JSON of the demo
say() { echo "setup: $*"; }                          # something is being done
done_already() { [ "$quiet" = 1 ] || say "$*"; }     # nothing was to be done, or the result is seen anyway
fail() { echo "setup: $1" >&2; shift; for line in "$@"; do echo "  $line" >&2; done; exit 254; }

node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' \
  || fail "Node $(node --version) is too old" "Install Node 20.19 or later."

# --- Debian packages -------------------------------------------------------------------------------------------------
packages=(
  libtss2-esys-3.0.2-0 libtss2-tctildr0 libtss2-mu0 libtss2-rc0 libtss2-tcti-swtpm0 libtss2-tcti-device0 # tpm2-tss at run time
  libtss2-dev                                    # its headers: the prototype table is compared with them
  swtpm swtpm-tools tpm2-tools                   # a software TPM, and the tools that tests compare with
  systemd-container                              # systemd-nspawn
  umoci skopeo docker-registry busybox-static # images and a registry for the demo and the tests
  zstd bzip2 xz-utils                            # layers and ACIs in these forms
  cabextract                                     # what our cabinets are compared with, and what reads those in LZX
  cryptsetup-bin attr                            # veritysetup and getfattr, which tests compare with
  erofs-utils                                    # fsck.erofs, which tests compare with, and mkfs.erofs, which makes trees for some
  gpgv                                           # verifies signatures of ACIs; apt depends on it anyway
  gpg gpg-agent                                  # make keys and signatures for tests
  gcc g++ make python3 musl-tools                # the C programs, and the npm packages that compile
  containernetworking-plugins iptables           # networks of pods
  qemu-system-x86 ovmf kmod                      # pods as virtual machines; depmod, for the guest's kernel
  iproute2 util-linux openssl                    # what tests look at namespaces, mounts and certificates with
)
[ "$tests" = 1 ] && packages+=(postgresql) # a database server of the tests' own
[ "$bench" = 1 ] && packages+=(podman runc debootstrap) # peers of the launch benchmarks; a Debian image to pull
[ "$tpm_roots" = 1 ] && packages+=(ruby-tpm-key-attestation) # 25 CA certificates of TPM makers (brings Ruby along): holdfast roots import --debian

# one query for all: dpkg-query names what it does not know on standard error and exits 1
installed=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' "${packages[@]}" 2>/dev/null | awk '$2 == "ii" {print $1}' || true)
missing=()
for package in "${packages[@]}"; do
  grep -qx -- "$package" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || fail "these Debian packages are missing, and installing them needs root:" \
    "${missing[*]}" "Run: sudo apt-get install --no-install-recommends ${missing[*]}"
  command -v apt-get >/dev/null || fail "this is not a Debian machine; install the equivalents of:" "${missing[*]}"
  say "installing Debian packages: ${missing[*]}"
  log=$(mktemp)
  # the package would start a server that nobody asked for: only the programs are wanted
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  fi
  if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2; rm -f "$log"
    fail "apt-get could not install: ${missing[*]}" "Its last lines are above. Check the network and /etc/apt/sources.list, then run this again."
  fi
  rm -f "$log"
else
  done_already "Debian packages are there"
fi

# --- npm packages ----------------------------------------------------------------------------------------------------
# The stamp holds the lockfile's digest and Node's ABI: native modules are compiled for one ABI.
stamp="$(sha256sum package-lock.json | cut -d' ' -f1)-$(node -p process.versions.modules)"
if [ "$(cat node_modules/.holdfast-stamp 2>/dev/null || true)" != "$stamp" ]; then
  say "installing npm packages from package-lock.json (some compile: about two minutes)"
  npm ci --no-progress --loglevel=error || fail "npm ci failed" "Its message is above; the registry must be reachable, gcc, g++, make and python3 are installed."
  echo "$stamp" >node_modules/.holdfast-stamp
else
  done_already "npm packages are there"
fi

# --- kernel of guests ------------------------------------------------------------------------------------------------
# HOLDFAST_GUEST_KERNEL names a directory with another: vmlinuz and lib/modules/RELEASE/ with its modules.dep.
# HOLDFAST_GUEST_KERNEL_SHA256: vmlinuz has to have this digest, or nothing is built.
if [ -z "${HOLDFAST_GUEST_KERNEL:-}" ]; then
  config/guest-kernel.sh --quiet || say "without a kernel for guests there is no build/stage1-kvm.aci: pods run by the flavour nspawn alone"
fi

# --- build -----------------------------------------------------------------------------------------------------------
node --import tsx config/build.ts || fail "the build failed" "Its message is above."
done_already "built build/holdfast, build/holdfast.js, build/holdfast-stage1 and build/stage1-nspawn.aci"
