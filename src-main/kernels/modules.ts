/**
 * Which of a kernel package's modules a portable machine needs before its root file system is
 * mounted, and in which order: what the board has (`engines/riscv/boot/tree.ts`) and what may be
 * on a root disk. Pure. The rest of the package stays unused: a machine's image has no place for
 * the modules of a kernel that is chosen for it.
 */

/** By names of modules; those that a kernel has built in are not among its modules. */
export const wantedModules: readonly string[] = [
  'virtio_mmio', 'virtio_blk', 'virtio_net', 'virtio_balloon', 'virtio_rng', 'virtio_console',
  'virtio_input', 'rtc_goldfish', '9pnet_virtio', '9p', 'vmw_vsock_virtio_transport',
  // ext4 asks for the first by what it does, not by its name.
  'crc32c_generic', 'ext4', 'squashfs', 'overlay', 'autofs4',
];

/** `virtio-rng.ko.xz` and `virtio_rng` are one name; undefined for a file that is no module. */
export function moduleName(file: string): string | undefined {
  const name = /^([\w-]{1,100})\.ko(\.(xz|zst|gz))?$/.exec(file)?.[1];
  return name?.replaceAll('-', '_');
}

/** The modules that one says it depends on (`depends=` in its .modinfo). */
export function dependsOf(module: Uint8Array): string[] {
  const text = new TextDecoder('latin1').decode(module);
  const names = /\0depends=([\w,-]{0,4096})\0/.exec(text)?.[1] ?? '';
  return names.replaceAll('-', '_').split(',').filter(Boolean);
}

/**
 * The wanted ones and what they need, each after what it needs. `depends` is asked for those only
 * that are there; what is not there is built in or absent.
 */
export function loadOrder(
  wanted: readonly string[],
  depends: (name: string) => readonly string[] | undefined,
): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const visit = (name: string) => {
    if (seen.has(name)) return;
    seen.add(name);
    const needs = depends(name);
    if (needs === undefined) return;
    needs.forEach(visit);
    order.push(name);
  };
  wanted.forEach(visit);
  return order;
}
