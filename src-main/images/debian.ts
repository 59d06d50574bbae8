/**
 * What the minimal Debian image is made of, as data: packages, our files in it, and the stages
 * that mmdebstrap goes through, for the progress bar. Pure; `node/debian.ts` does the work.
 *
 * The system is Debian's own with systemd. Ours are: DHCP on every Ethernet card, login prompts
 * on the first two consoles without a password for root, host name from the kernel (our boot
 * program sets it), Ctrl-Alt-Del powers off (that is how a manager asks a machine to stop).
 */
import { Refusal } from '../base/refusal.ts';

export const debianPackages = [
  'systemd-sysv', 'udev', 'dbus', 'libpam-systemd', 'libnss-myhostname', 'iproute2',
  'iputils-ping', 'netbase', 'procps', 'less', 'nano', 'ca-certificates',
];

/** Since Debian 12 it is a package of its own; before, it comes with systemd. */
export const resolverPackage = 'systemd-resolved';

export const dpkgOptions = [
  'path-exclude=/usr/share/doc/*', 'path-include=/usr/share/doc/*/copyright',
  'path-exclude=/usr/share/man/*', 'path-exclude=/usr/share/info/*',
  'path-exclude=/usr/share/locale/*',
];

export const debianFiles: Readonly<Record<string, string>> = {
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n',
  'etc/fstab': '# The root file system is mounted before systemd starts.\n',
  // Empty: every machine makes its own at its first start.
  'etc/machine-id': '',
  'etc/systemd/network/80-ethernet.network':
    '[Match]\nType=ether\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nUseHostname=no\nUseDomains=yes\n',
  'etc/systemd/system/getty@tty1.service.d/terminal.conf':
    '[Service]\nEnvironment=TERM=xterm-256color\n',
  'etc/systemd/journald.conf.d/small.conf': '[Journal]\nSystemMaxUse=16M\nRuntimeMaxUse=4M\n',
  'etc/motd':
    '\nDebian in a machine of its own.\n\n' +
    '  apt-get update && apt-get install PACKAGE   brings software\n' +
    '  poweroff                                    stops this machine; its disk keeps all\n\n',
};

/** Runs as root of the new system with its root directory as $1 (mmdebstrap's customize hook). */
export const customizeScript = `set -e
root=$1
rm -f "$root/etc/hostname"
chroot "$root" passwd -d root
chroot "$root" systemctl enable systemd-networkd.service console-getty.service
chroot "$root" systemctl enable systemd-resolved.service 2>/dev/null || true
# Nothing here waits for the network, and nothing should run by itself in the first minutes.
chroot "$root" systemctl mask systemd-networkd-wait-online.service
for timer in apt-daily apt-daily-upgrade e2scrub_all fstrim dpkg-db-backup; do
  chroot "$root" systemctl disable "$timer.timer" 2>/dev/null || true
done
ln -sf /lib/systemd/system/poweroff.target "$root/etc/systemd/system/ctrl-alt-del.target"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/*.log
`;

export interface AptRepository {
  uri: string;
  suite: string;
  component: string;
}

/** `URI|suite|component` lines, from `apt-get indextargets`. */
export function parseRepositories(text: string): AptRepository[] {
  return text
    .split('\n')
    .map((line) => line.split('|'))
    .flatMap(([uri = '', suite = '', component = '']) =>
      /^[a-z+]+:\S+$/.test(uri) && /^[\w./-]+$/.test(suite) && component !== ''
        ? [{ uri, suite, component }]
        : [],
    );
}

/** The machine's own repositories of its own release, as lines for a sources.list. */
export function sourcesFor(codename: string, repositories: readonly AptRepository[]): string[] {
  const suites = [codename, `${codename}-updates`, `${codename}-security`];
  const lines = suites.flatMap((suite) => {
    const found = repositories.find((each) => each.suite === suite && each.component === 'main');
    return found ? [`deb ${found.uri} ${suite} main`] : [];
  });
  if (!lines[0]?.includes(` ${codename} `)) {
    throw new Refusal(
      'unavailable',
      `apt on this machine has no repository of "${codename}"; check it with: sudo apt-get update.`,
    );
  }
  return lines;
}

/** What mmdebstrap says when a stage begins, and how much is done by then (measured). */
const stages: [said: RegExp, fraction: number, step: string][] = [
  [/running apt-get update/, 0.02, 'Reading the package lists'],
  [/downloading packages/, 0.08, 'Downloading the base system'],
  [/extracting archives/, 0.2, 'Unpacking the base system'],
  [/installing essential packages/, 0.3, 'Installing the base system'],
  [/installing remaining packages/, 0.4, 'Installing systemd and tools'],
  [/running --customize-hook/, 0.75, 'Configuring'],
  [/cleaning package lists/, 0.78, 'Cleaning up'],
  [/creating tarball/, 0.8, 'Packing'],
];

export function stageOf(line: string): { fraction: number; step: string } | undefined {
  const found = stages.find(([said]) => said.test(line));
  return found && { fraction: found[1], step: found[2] };
}
