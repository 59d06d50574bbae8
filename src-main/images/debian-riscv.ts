/**
 * The Debian image for riscv64, as far as it differs from the one of the machine's own processor:
 * which release, from which sources, and the two scripts that make it without running a program of
 * the other processor on this one. Pure; `node/debian-riscv.ts` does the work.
 *
 *   unpackScript   on the host, under fakeroot: packages and dpkg's database into a tree
 *   setupScript    in a machine that boots the result: dpkg configures, then our own changes
 *
 * Must hold: no script of a package runs on the host.
 */
import type { AptSource, Release } from '../kernels/apt-sources.ts';
import { riscvSuites, writeSources } from '../kernels/apt-sources.ts';
import { debianPackages, dpkgOptions, resolverPackage } from './debian.ts';

/** Releases that have no riscv64, and the first one that has. */
const without: readonly string[] = ['buster', 'bullseye', 'bookworm'];
const first = 'trixie';

export function riscvRelease({ codename }: Release): string {
  return without.includes(codename) ? first : codename;
}

/** The machine's own mirrors, at that release; security updates where it takes them itself. */
export function riscvSources(entries: readonly AptSource[], release: Release): AptSource[] {
  const name = riscvRelease(release);
  const main = riscvSuites(entries, release).map((source) => ({
    ...source,
    suites: [name, `${name}-updates`],
  }));
  const security = entries
    .filter(({ suites }) => suites.includes(`${release.codename}-security`))
    .map((source) => ({ ...source, suites: [`${name}-security`], components: ['main'] }));
  return [...main, ...security];
}

/** For the new system, which has the archive's keys in the usual places. */
export function targetSources(sources: readonly AptSource[]): string {
  const plain = sources.map(({ uris, suites, components }) => ({ uris, suites, components }));
  return writeSources(plain);
}

/** What apt is to fetch, with all that it needs. */
export const wantedPackages: readonly string[] = [
  '?essential', '?priority(required)', ...debianPackages, resolverPackage,
];

/** A prompt on the second console of a machine that has one. */
export const consoleRule =
  'SUBSYSTEM=="tty", KERNEL=="hvc1", ENV{SYSTEMD_WANTS}+="serial-getty@hvc1.service"\n';

/** Where the scripts lie in the new system until they have run. */
export const setupFolder = '/nymph-setup';
export const setupProgram = `${setupFolder}/run`;
export const setupDone = 'nymph-setup: done';

/**
 * $1 the packages, $2 the tree, $3 a folder for work. dpkg unpacks for another processor when it is
 * told to; scripts that it would run before are taken out and kept for the machine.
 */
export const unpackScript = `set -e
archives=$1 tree=$2 work=$3
preinst=$tree${setupFolder}/preinst
mkdir -p "$tree/var/lib/dpkg/info" "$tree/var/lib/dpkg/updates" "$preinst" "$work/packed"
touch "$tree/var/lib/dpkg/status"
for file in "$archives"/*.deb; do
  name=$(dpkg-deb --field "$file" Package)
  if dpkg-deb --info "$file" preinst > "$work/preinst" 2>/dev/null; then
    rm -rf "$work/open"
    dpkg-deb --raw-extract "$file" "$work/open"
    mv "$work/open/DEBIAN/preinst" "$preinst/$name"
    dpkg-deb -Znone --build "$work/open" "$work/packed/$name.deb" > /dev/null
  else
    ln -s "$file" "$work/packed/$name.deb"
  fi
done
unpack() {
  dpkg --root="$tree" --log=/dev/null --force-architecture,depends,unsafe-io,not-root,bad-path \\
    ${dpkgOptions.map((option) => `'--${option}'`).join(' ')} --unpack "$@"
}
# It brings the links from /bin to /usr/bin, which the others are to follow.
unpack "$work/packed/base-files.deb"
mv "$work/packed/base-files.deb" "$work"
unpack "$work"/packed/*.deb
`;

/** Process 1 of the machine that finishes the image. What it says last tells how it went. */
export const setupScript = `#!/bin/sh
# From memory: while a file that is removed is in use, its disk cannot be made read-only.
if [ "$0" = ${setupProgram} ]; then
  mount -t tmpfs tmpfs /run
  cp -p "$0" /run/setup
  exec /run/setup
fi
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
# All is on the disk before the power goes: what sysrq is asked for comes when it comes.
keep() {
  sync
  mount -o remount,ro /
}
finish() {
  keep
  echo o > /proc/sysrq-trigger
  sleep 60
}
trap 'echo "nymph-setup: failed"; finish' EXIT
set -e
cd /
# The host's time: a machine of this kind has none before systemd has set it.
date --set "@$(stat -c %Y ${setupProgram})" > /dev/null
mount -t tmpfs tmpfs /tmp
before() {
  echo "Preparing $1"
  DPKG_MAINTSCRIPT_PACKAGE=$1 DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_ARCH=riscv64 \\
    DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT= ${setupFolder}/preinst/$1 install
  rm ${setupFolder}/preinst/$1
}
# It makes the users that the others count on.
before base-passwd
for name in $(ls ${setupFolder}/preinst); do before "$name"; done
dpkg --force-unsafe-io --configure --pending
sh ${setupFolder}/customize /
# systemd itself puts a prompt on the serial line, where two would hang each other up, and on the
# first virtio console, which is the agent's.
systemctl disable console-getty.service
systemctl mask serial-getty@hvc0.service
rm -rf ${setupFolder} /var/lib/dpkg/*-old
keep
trap - EXIT
echo "${setupDone}"
finish
`;

/** How much of the machine's work is done, from what dpkg says; it configures `total` packages. */
export class SetupProgress {
  private readonly total: number;
  private configured = 0;

  constructor(total: number) {
    this.total = Math.max(1, total);
  }

  /** 0 to 1 after a line of the machine's console. */
  take(line: string): number {
    if (/^Setting up \S+ \(/.test(line)) this.configured++;
    return Math.min(1, this.configured / this.total);
  }
}
