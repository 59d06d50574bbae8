/**
 * The kernel that v86 boots: the newest that Debian has for an i386 processor without PAE, with the
 * modules for v86's devices in the order in which they are to be loaded.
 */
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { kernelSuites } from '../../../src-main/kernels/apt-sources.ts';
import { unpacked } from '../debian.ts';

/** Its disk, its card, and what its kernel asks for by other names than those of modules. */
const wanted = ['crc32c_generic', 'ext4', 'ata_piix', 'sd_mod', 'virtio_pci', 'virtio_net'];

export async function debianKernel(
  say: (line: string) => void,
): Promise<{ kernel: string; modules: string[] }> {
  const tree = await unpacked('linux', {
    architecture: 'i386', packages: ['linux-image-686'], suites: kernelSuites, say,
  });
  const [kernel] = globSync(`${tree}/boot/vmlinuz-*`);
  if (kernel === undefined) throw new Error('the package of the kernel holds none');
  const paths = new Map(globSync(`${tree}/{usr/,}lib/modules/*/kernel/**/*.ko`)
    .map((path) => [nameOf(basename(path, '.ko')), path]));
  const modules = new Set<string>();
  const load = (name: string): void => {
    const path = paths.get(nameOf(name));
    // What has no file is part of the kernel itself.
    if (path === undefined || modules.has(path)) return;
    dependenciesOf(path).forEach(load);
    modules.add(path);
  };
  wanted.forEach(load);
  return { kernel, modules: [...modules] };
}

/** A module says what it depends on, as depmod(8) reads it. */
function dependenciesOf(path: string): string[] {
  const [, names = ''] = /\0depends=([^\0]*)\0/.exec(readFileSync(path, 'latin1')) ?? [];
  return names.split(',').filter((name) => name !== '');
}

function nameOf(module: string): string {
  return module.replaceAll('-', '_');
}
