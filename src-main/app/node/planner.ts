/**
 * From what a machine is told to be to what an engine is to do: picks the kernel, finds the files
 * below its disks, and refuses before anything has happened what the host cannot give.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import type { EngineName } from '../../contract/machine.ts';
import type { Inside, LaunchPlan, PlannedDisk } from '../../machine/engine.ts';
import { formatSize, type MachineSpec } from '../../machine/spec.ts';
import type { KernelInfo } from '../../kernels/kernel.ts';
import type { ImageLibrary } from './image-library.ts';
import type { KernelShelf } from './kernel-shelf.ts';
import { diskFile } from './machine-store.ts';
import type { Paths } from './paths.ts';

export interface Confinement {
  readonly works: boolean;
  readonly reason?: string;
}

export type KernelChoice = { readonly id: string; readonly choice: string };

export class Planner {
  readonly confinement: Confinement;
  private readonly paths: Paths;
  private readonly images: ImageLibrary;
  private readonly kernels: KernelShelf;
  private readonly initramfs: (engine: EngineName) => Promise<string>;

  constructor(parts: {
    paths: Paths;
    images: ImageLibrary;
    kernels: KernelShelf;
    confinement: Confinement;
    initramfs: (engine: EngineName) => Promise<string>;
  }) {
    this.paths = parts.paths;
    this.images = parts.images;
    this.kernels = parts.kernels;
    this.confinement = parts.confinement;
    this.initramfs = parts.initramfs;
  }

  runDirectory(id: string): string {
    return join(this.paths.run, id);
  }

  kernelFor(spec: MachineSpec): KernelChoice {
    const { kernel, choice } = this.kernels.choose(spec);
    return { id: kernel.id, choice };
  }

  async plan(
    { name, directory, resume }: { name: string; directory: string; resume?: string },
    spec: MachineSpec,
    inside?: Inside,
  ): Promise<{ plan: LaunchPlan; kernel: KernelChoice }> {
    // One that runs inside another takes its memory from that one's.
    if (inside) this.refuseHost(inside);
    else this.refuseMemory(name, spec);
    refuseShares(spec, inside);
    refuseFirmware(spec, inside);
    const chosen = this.kernels.choose(spec);
    const { kernel, cpus, seccomp, choice } = chosen;
    if (!existsSync(kernel.path)) {
      throw new Refusal('not-found', `The kernel “${kernel.id}” is gone; choose another one.`);
    }
    const confined = spec.confinement === 'on' && this.confinement.works;
    if (!confined && !inside) refuseOwnLibraries(kernel);
    const plan: LaunchPlan = {
      name,
      // Fewer processors than asked for, where no kernel can do more; the choice says so.
      spec: { ...spec, cpus },
      kernel: {
        path: kernel.path,
        sharedLibraries: kernel.sharedLibraries,
        // Several processors need it; with one, separate host processes keep programs of the
        // guest out of its kernel's memory, which is worth more than the speed.
        seccomp,
        ...(kernel.modules === undefined ? {} : { modules: kernel.modules }),
      },
      initramfs: await this.initramfs(spec.engine),
      disks: spec.disks.flatMap((disk, index) =>
        disk.attached ? [this.planDisk(name, directory, disk, index)] : [],
      ),
      directory,
      runDirectory: this.runDirectory(spec.id),
      confined,
      ...(inside ? { inside } : {}),
      ...(resume === undefined ? {} : { resume }),
    };
    return { plan, kernel: { id: kernel.id, choice } };
  }

  private planDisk(
    name: string,
    directory: string,
    disk: MachineSpec['disks'][number],
    index: number,
  ): PlannedDisk {
    const path = diskFile(name, directory, disk);
    if (disk.image === undefined) return { id: disk.id, index, path };
    return { id: disk.id, index, path, backing: this.images.rawPath(disk.image) };
  }

  /** The kernel around it must know how to host one. */
  private refuseHost(inside: Inside): void {
    const around = this.kernels.list().find(({ id }) => id === inside.kernel);
    if (around?.features['nesting']) return;
    throw new Refusal(
      'unsupported',
      `“${inside.name}” runs on the kernel “${inside.kernel}”, which cannot host another; ` +
        'restart it with one that Nymph has built.',
    );
  }

  private refuseMemory(name: string, spec: MachineSpec): void {
    const available = availableMemoryBytes();
    if (available === undefined || spec.memory <= available) return;
    const [asked, has] = [spec.memory, available].map((bytes) =>
      formatSize(Math.floor(bytes / 2 ** 20) * 2 ** 20),
    );
    throw new Refusal(
      'no-space',
      `“${name}” asks for ${asked} of memory; this host has ${has} free.`,
    );
  }
}

/** Only in a compartment can a kernel be shown other libraries than the host's. */
function refuseOwnLibraries({ id, sharedLibraries }: KernelInfo): void {
  if (sharedLibraries.every(({ file, seenAs }) => file === seenAs)) return;
  throw new Refusal(
    'unavailable',
    `The kernel “${id}” has libraries of its own, so it runs in a compartment only; ` +
      'build ours with "nymph kernel build".',
  );
}

function refuseShares({ shares }: MachineSpec, inside: Inside | undefined): void {
  if (inside && shares.length > 0) {
    throw new Refusal('unsupported', 'A machine inside another cannot share folders of the host.');
  }
  for (const { path } of shares) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) continue;
    throw new Refusal('not-found', `The folder “${path}” that is to be shared is not there.`);
  }
}

function refuseFirmware({ engine, firmware }: MachineSpec, inside: Inside | undefined): void {
  if (firmware === undefined) return;
  if (engine !== 'portable' || inside) {
    const sentence = 'Only a portable machine that is in no other one takes firmware.';
    throw new Refusal('unsupported', sentence);
  }
  if (!existsSync(firmware)) {
    throw new Refusal('not-found', `The firmware “${firmware}” is not there.`);
  }
}

export function availableMemoryBytes(): number | undefined {
  try {
    const kib = /MemAvailable:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}
