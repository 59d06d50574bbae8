/**
 * Every Debian package that Nymph uses beyond what Node and npm bring, each with its reason. The
 * set-up installs what is missing of the groups that apply; nothing else is ever installed.
 */
export type Group = 'run' | 'build' | 'window' | 'electron' | 'test';

export type DebianPackage = {
  /** The first that the release has is installed; any one present will do. */
  readonly names: readonly [string, ...string[]];
  readonly group: Group;
  readonly reason: string;
};

function row(group: Group, reason: string, ...names: [string, ...string[]]): DebianPackage {
  return { names, group, reason };
}

export const debianPackages: readonly DebianPackage[] = [
  row('run', 'confines each machine', 'bubblewrap'),
  row('run', 'a kernel for the first minutes, until our own is built', 'user-mode-linux'),
  row('run', 'the userland of Tiny Linux', 'busybox-static'),
  row('run', 'makes and checks file systems of images', 'e2fsprogs'),
  row('run', 'files of root in images made by an ordinary user', 'fakeroot'),
  row('run', 'makes the Debian image on request', 'mmdebstrap'),
  row('run', 'images and sources in xz', 'xz-utils'),
  row('run', 'images in zstd', 'zstd'),
  row('run', 'images in bzip2', 'bzip2'),

  row('build', 'compiles the vkernel', 'gcc'),
  row('build', 'drives the vkernel build', 'make'),
  row('build', 'scanners of the kernel configuration', 'flex'),
  row('build', 'parsers of the kernel configuration', 'bison'),
  row('build', 'time constants of the vkernel', 'bc'),
  row('build', 'reads the objects of the vkernel', 'libelf-dev'),
  row('build', 'the C library that the vkernel links', 'libc6-dev'),
  row('build', 'compiles the portable engine’s kernel and agent', 'gcc-riscv64-linux-gnu'),
  row('build', 'the kernel’s interface, for that agent', 'linux-libc-dev-riscv64-cross'),

  row('window', 'the window, where there is no Electron runtime', 'chromium', 'chromium-browser'),

  row('electron', 'the window toolkit of Electron', 'libgtk-3-0', 'libgtk-3-0t64'),
  row('electron', 'certificates in Electron', 'libnss3'),
  row('electron', 'graphics buffers of Electron', 'libgbm1'),
  row('electron', 'sound library that Electron links', 'libasound2', 'libasound2t64'),

  row('test', 'the real browser of the end-to-end tests', 'chromium', 'chromium-browser'),
  row('test', 'a display for windows under test', 'xvfb'),
  row('test', 'judges our disk formats from outside', 'qemu-utils'),
  row('test', 'makes partition tables to be read', 'gdisk'),
  row('test', 'makes a file system that is refused', 'dosfstools'),
  row('test', 'judges our initramfs archives from outside', 'cpio'),
  row('test', 'shows what a kernel asks of its host', 'strace'),
  row('test', 'measures a LAN', 'iperf3'),
  row('test', 'another host, on this one', 'openssh-server'),
  row(
    'test', 'judges the portable engine from outside', 'qemu-system-riscv', 'qemu-system-misc',
  ), // prettier-ignore
  row('test', 'the emulator that the bench compares with', 'qemu-system-x86'),
  row('test', 'the C library of what the bench runs in guests', 'libc6-dev-riscv64-cross'),
];

/** The groups that apply. */
export function groupsFor(wish: {
  display: boolean;
  electron: boolean;
  tests: boolean;
}): ReadonlySet<Group> {
  const groups = new Set<Group>(['run', 'build']);
  if (wish.display) groups.add(wish.electron ? 'electron' : 'window');
  if (wish.tests) groups.add('test');
  return groups;
}

export function packagesOf(groups: ReadonlySet<Group>): DebianPackage[] {
  const seen = new Set<string>();
  return debianPackages.filter(({ group, names }) => {
    if (!groups.has(group) || seen.has(names[0])) return false;
    seen.add(names[0]);
    return true;
  });
}
