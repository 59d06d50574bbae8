/**
 * What operating system lies in a tree of files: `identifySystem(tree)` looks at os-release, at
 * the init program and at the machine code of a few programs every system has.
 */
import { hasAt, printable, viewOf } from './bytes.ts';
import type { FileTree } from './ext4.ts';

export interface SystemFacts {
  /** PRETTY_NAME of os-release, for people. */
  osName?: string;
  /** ID of os-release, for programs: debian, alpine, fedora… */
  osId?: string;
  /** As `uname -m` would say: x86_64, riscv64, aarch64…; undefined when no program was found. */
  architecture?: string;
  /** The first program a kernel would start that is there. */
  init?: string;
  hasSystemd: boolean;
}

const inits = ['/sbin/init', '/usr/sbin/init', '/etc/init', '/bin/init', '/init'];
const systemds = ['/usr/lib/systemd/systemd', '/lib/systemd/systemd'];
const programs = ['/bin/sh', '/usr/bin/sh', '/bin/bash', '/bin/busybox', '/usr/bin/env',
  '/bin/ls', '/bin/true', '/usr/bin/coreutils', '/bin/mount'];

export async function identifySystem(tree: FileTree): Promise<SystemFacts> {
  const release = (await tree.readFile('/etc/os-release', 64 * 1024)) ??
    (await tree.readFile('/usr/lib/os-release', 64 * 1024));
  const values = release ? parseOsRelease(new TextDecoder().decode(release)) : {};
  const init = await firstFile(tree, [...inits, ...systemds]);
  const systemd = await firstFile(tree, systemds);
  const facts: SystemFacts = { hasSystemd: systemd !== undefined };
  const name = values['PRETTY_NAME'] ?? values['NAME'];
  if (name) facts.osName = printable(name);
  if (values['ID']) facts.osId = printable(values['ID']);
  if (init) facts.init = init;
  for (const path of [...(init ? [init] : []), ...programs]) {
    const head = await tree.readFile(path, 64);
    const architecture = head && elfArchitecture(head);
    if (architecture) {
      facts.architecture = architecture;
      break;
    }
  }
  return facts;
}

async function firstFile(tree: FileTree, paths: string[]): Promise<string | undefined> {
  for (const path of paths) if ((await tree.stat(path))?.kind === 'file') return path;
  return undefined;
}

/** The lines `KEY=value` of os-release, with shell quotes taken off (os-release(5)). */
export function parseOsRelease(text: string): Record<string, string> {
  const values: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of text.split('\n', 200)) {
    const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line.trim());
    if (!match) continue;
    let value = match[2]!.trim();
    const quote = value[0];
    if (value.length >= 2 && (quote === '"' || quote === "'") && value.endsWith(quote)) {
      value = value.slice(1, -1);
    }
    values[match[1]!] = value.replace(/\\(["'$`\\])/g, '$1');
  }
  return values;
}

/** The processor an ELF program is for, from its first 20 bytes; undefined for anything else. */
export function elfArchitecture(head: Uint8Array): string | undefined {
  if (head.length < 20 || !hasAt(head, 0, '\u007fELF')) return undefined;
  const is64 = head[4] === 2;
  const little = head[5] !== 2;
  const machine = viewOf(head).getUint16(18, little);
  switch (machine) {
    case 3: return 'i686';
    case 62: return is64 ? 'x86_64' : 'x32';
    case 243: return is64 ? 'riscv64' : 'riscv32';
    case 183: return little ? 'aarch64' : 'aarch64_be';
    case 40: return 'arm';
    case 21: return little ? 'ppc64le' : 'ppc64';
    case 20: return 'ppc';
    case 22: return is64 ? 's390x' : 's390';
    case 8: return is64 ? 'mips64' : 'mips';
    case 43: return 'sparc64';
    case 258: return is64 ? 'loongarch64' : 'loongarch32';
    default: return `machine-${machine}`;
  }
}
