/**
 * What is known of a kernel, and which kernel a machine gets. Everything about a kernel is read
 * from its file, never by running it: a User Mode Linux kernel carries its whole configuration,
 * its banner and the help texts of its options as plain text.
 *
 * Use: `inspectKernel(bytes)` for a file; `chooseKernel(kernels, cpus, preferredId)` for a
 * machine, `chooseInnerKernel` for one inside another.
 */
import { Refusal } from '../base/refusal.ts';
import { readElf, type Elf } from './elf.ts';
import { parseConfig } from './fragment.ts';
import { readRecipeMark } from './recipe.ts';

export type KernelFeatures = {
  /** More than one processor. */
  readonly smp: boolean;
  /** Guest programs under seccomp instead of ptrace (`seccomp=on`). */
  readonly seccomp: boolean;
  /** A guest's flush and fsync reach the host's file. */
  readonly flushReachesHost: boolean;
  /** Can be the outer kernel of another User Mode Linux kernel. */
  readonly nesting: boolean;
  readonly initrd: boolean;
  /** The legacy `eth0=` drivers are gone from newer kernels; this one has `vec0=`. */
  readonly vectorNetwork: boolean;
  readonly hostfs: boolean;
  readonly mconsole: boolean;
  readonly partitions: boolean;
  readonly balloon: boolean;
  /** Runs on processors whose registers need more room than AVX-512's, such as those with AMX. */
  readonly wideState: boolean;
};

export type KernelOrigin = 'up' | 'smp' | 'riscv64' | 'packaged' | 'imported';
export type KernelEngine = 'native' | 'portable';

export type SharedLibrary = {
  /** Absolute, on the host. */
  readonly file: string;
  /** Absolute, where the kernel looks for it: another path when it brought its own libraries. */
  readonly seenAs: string;
};

export type KernelInfo = {
  readonly id: string;
  /** As the kernel names itself: `7.2.13-nymph`. */
  readonly version: string;
  readonly flavour: KernelOrigin;
  /** Which engine runs it. */
  readonly engine: KernelEngine;
  /** Absolute. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly features: KernelFeatures;
  /** The one the user chose for machines that name none. */
  readonly default: boolean;
  /** The program loader first, then every library it needs. */
  readonly sharedLibraries: readonly SharedLibrary[];
  /** An archive of modules to stand before the boot file system; absolute. */
  readonly modules?: string;
  /** Why it cannot run on this host; a sentence. */
  readonly obstacle?: string;
};

export type KernelChoice = {
  readonly kernel: KernelInfo;
  /** Whether to boot it with `seccomp=on`: more than one processor needs it. */
  readonly seccomp: boolean;
  /** How many processors the machine gets: fewer than asked when no kernel can do more. */
  readonly cpus: number;
  /** Why this one; a sentence for the user. */
  readonly reason: string;
};

export type KernelReport = {
  readonly version: string;
  readonly features: KernelFeatures;
  readonly elf: Elf;
  /** Set when the file comes from our recipe. */
  readonly recipeHash?: string;
};

const configMax = 20_000;

/** @throws Refusal `bad-input`: no User Mode Linux kernel. */
export function inspectKernel(bytes: Uint8Array): KernelReport {
  const elf = readElf(bytes);
  const config = embeddedConfig(bytes);
  if (config.get('UML') !== 'y' || config.get('64BIT') !== 'y') {
    throw new Refusal('bad-input', 'This program is not a User Mode Linux kernel for x86-64.');
  }
  if (elf.type !== 'executable' && elf.interpreter === undefined) {
    throw new Refusal('bad-input', 'This User Mode Linux kernel is not a program that can run.');
  }
  const banner = textAt(bytes, find(bytes, 'Linux version '), 200);
  const version = /^Linux version (\d[\w.+~-]*) /.exec(banner)?.[1];
  if (version === undefined) {
    throw new Refusal('bad-input', 'This User Mode Linux kernel does not say its version.');
  }
  const on = (name: string) => config.get(name) === 'y';
  const mark = readRecipeMark((config.get('BUILD_SALT') ?? '').replaceAll('"', ''));
  return {
    version,
    elf,
    ...(mark === undefined ? {} : { recipeHash: mark.hash }),
    features: {
      smp: on('SMP') && find(bytes, 'ncpus=') >= 0,
      seccomp: find(bytes, 'seccomp=<') >= 0,
      flushReachesHost: mark?.features.includes('flush') ?? false,
      nesting: mark?.features.includes('nesting') ?? false,
      initrd: on('BLK_DEV_INITRD'),
      vectorNetwork: on('UML_NET_VECTOR'),
      hostfs: on('HOSTFS'),
      mconsole: on('MCONSOLE'),
      partitions: on('MSDOS_PARTITION') && on('EFI_PARTITION'),
      balloon: on('VIRTIO_BALLOON') && on('VIRTIO_UML'),
      wideState: takesWideState(version),
    },
  };
}

/**
 * Before 6.13 a User Mode Linux kernel has 2696 bytes for the registers of a guest's program, and
 * the host refuses to set less than all of them: it panics as its init begins.
 */
function takesWideState(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number.parseFloat);
  return major > 6 || (major === 6 && minor >= 13);
}

/**
 * The kernel for a machine: the one it names, else the user's default, else the best there is,
 * as long as it can run that many processors; else one that runs a single one, and says so.
 * @throws Refusal `not-found` for an unknown name, `unavailable` when no kernel can run here.
 */
export function chooseKernel(
  all: readonly KernelInfo[],
  cpus: number,
  preferredId?: string,
  engine: KernelEngine = 'native',
): KernelChoice {
  const ofEngine = all.filter((kernel) => kernel.engine === engine);
  const kernels = ofEngine.filter((kernel) => kernel.obstacle === undefined);
  if (preferredId !== undefined && preferredId !== 'auto') {
    const named = all.find((kernel) => kernel.id === preferredId);
    if (named === undefined) {
      throw new Refusal('not-found', `There is no kernel named ${preferredId}.`);
    }
    if (named.engine !== engine) {
      throw new Refusal('unsupported', `The kernel ${named.id} is for the ${named.engine} engine.`);
    }
    if (named.obstacle !== undefined) throw new Refusal('unavailable', named.obstacle);
    return choice(named, cpus, 'the machine names it');
  }
  if (engine === 'portable') return choosePortable(kernels, cpus);
  const fallen = kernels.find((kernel) => kernel.default);
  if (fallen !== undefined && (cpus === 1 || canRunMany(fallen))) {
    return choice(fallen, cpus, 'it is the default');
  }
  const order: readonly KernelOrigin[] =
    cpus > 1 ? ['smp', 'imported', 'up', 'packaged'] : ['up', 'smp', 'packaged', 'imported'];
  const ranked = order.flatMap((origin) => kernels.filter((kernel) => kernel.flavour === origin));
  const best = (cpus > 1 ? ranked.find(canRunMany) : undefined) ?? fallen ?? ranked[0];
  if (best === undefined) throw new Refusal('unavailable', noKernel(ofEngine[0]?.obstacle));
  const reasons: Record<KernelOrigin, string> = {
    up: 'it is built for one processor',
    smp: 'it is built for several processors',
    riscv64: 'it is built for the portable engine',
    packaged: 'our own kernel is not built yet',
    imported: 'it is the only kernel that fits',
  };
  return choice(best, cpus, reasons[best.flavour]);
}

/**
 * As `chooseKernel`, for a machine inside another: on the native engine it has one processor
 * unless it names its kernel. Processors that wait for each other do so by spinning, each until
 * the kernel around them thinks of the other; a program then starts thirty times as slowly.
 */
export function chooseInnerKernel(
  all: readonly KernelInfo[],
  cpus: number,
  preferredId?: string,
  engine: KernelEngine = 'native',
): KernelChoice {
  const isNamed = preferredId !== undefined && preferredId !== 'auto';
  if (cpus === 1 || isNamed || engine === 'portable') {
    return chooseKernel(all, cpus, preferredId, engine);
  }
  const chosen = chooseKernel(all, 1, preferredId, engine);
  const why =
    `It has one processor, not ${cpus}: inside a machine several are slower than one. ` +
    'To have them, name a kernel that runs several.';
  return { ...chosen, reason: `${chosen.reason} ${why}` };
}

/** Whether any kernel runs machines of an engine on this host. */
export function canRun(all: readonly KernelInfo[], engine: KernelEngine): boolean {
  return all.some((kernel) => kernel.engine === engine && kernel.obstacle === undefined);
}

function noKernel(obstacle: string | undefined): string {
  if (obstacle !== undefined) return `${obstacle} Build ours with "nymph kernel build".`;
  return 'There is no kernel yet; build one with "nymph kernel build" or install user-mode-linux.';
}

function choosePortable(kernels: readonly KernelInfo[], cpus: number): KernelChoice {
  const fallen = kernels.find((kernel) => kernel.default);
  if (fallen !== undefined) return choice(fallen, cpus, 'it is the default');
  const best = kernels.find((kernel) => kernel.flavour === 'riscv64') ?? kernels[0];
  if (best === undefined) {
    throw new Refusal(
      'unavailable',
      'There is no kernel for the portable engine yet; ' +
        'build it with "nymph kernel build --portable".',
    );
  }
  return choice(best, cpus, 'it is built for the portable engine');
}

function choice(kernel: KernelInfo, cpus: number, because: string): KernelChoice {
  const many = cpus > 1 && canRunMany(kernel);
  const short = cpus > 1 && !many;
  return {
    kernel,
    seccomp: many && kernel.engine === 'native',
    cpus: many ? cpus : 1,
    reason:
      `Runs on ${kernel.version} (${kernel.flavour}): ${because}.` +
      (short ? ` This kernel runs one processor only, not ${cpus}.` : ''),
  };
}

function canRunMany(kernel: KernelInfo): boolean {
  return kernel.features.smp && (kernel.engine === 'portable' || kernel.features.seccomp);
}

/** The lines of --showconfig, as they lie in the file: texts of `CONFIG_…=…`, each by itself. */
function embeddedConfig(bytes: Uint8Array): Map<string, string> {
  const lines: string[] = [];
  let at = find(bytes, 'CONFIG_');
  while (at >= 0 && lines.length < configMax) {
    const before = bytes[at - 1];
    if (before === 0 || before === 10) lines.push(textAt(bytes, at, 300));
    at = find(bytes, 'CONFIG_', at + 7);
  }
  return parseConfig(lines.join('\n'));
}

/** Up to the end of the line or of the text. */
function textAt(bytes: Uint8Array, at: number, max: number): string {
  if (at < 0) return '';
  const window = bytes.subarray(at, at + max);
  const stop = window.findIndex((byte) => byte === 0 || byte === 10);
  return new TextDecoder().decode(stop < 0 ? window : window.subarray(0, stop));
}

function find(bytes: Uint8Array, text: string, from = 0): number {
  const wanted = new TextEncoder().encode(text);
  const first = wanted[0] as number;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    let length = 1;
    while (length < wanted.length && bytes[at + length] === wanted[length]) length += 1;
    if (length === wanted.length) return at;
  }
  return -1;
}
