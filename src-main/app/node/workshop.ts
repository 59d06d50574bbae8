/**
 * A machine that is made to run one program of an image and is gone when that has powered it off:
 * how images of another processor are finished. Nobody sees it, it has no network, and it writes
 * to nothing but that image.
 */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import type { RunInImage } from '../../images/node/debian-riscv.ts';
import type { Engine } from '../../machine/engine.ts';
import { specSchema } from '../../machine/spec.ts';
import { architectureOf, buildBootRamdisk } from './image-makers.ts';
import type { KernelShelf } from './kernel-shelf.ts';
import type { Paths } from './paths.ts';
import type { Confinement } from './planner.ts';

const lineMax = 4096;

export function openWorkshop(parts: {
  paths: Paths;
  engine: () => Engine;
  kernels: Pick<KernelShelf, 'choose'>;
  confinement: Confinement;
}): RunInImage {
  const { paths, kernels, confinement } = parts;
  return async ({ image, program, signal, onLine }) => {
    const engine = parts.engine();
    const spec = specSchema.parse({
      id: randomBytes(4).toString('hex'),
      engine: engine.name,
      cpus: Math.min(2, cpus().length),
      memory: '512MiB',
      init: program,
      consoles: 1,
    });
    const { kernel } = kernels.choose(spec);
    const runDirectory = join(paths.run, spec.id);
    const running = await engine.launch({
      name: 'workshop',
      spec,
      kernel: { ...kernel, seccomp: false },
      initramfs: await buildBootRamdisk(paths, architectureOf[engine.name]),
      disks: [{ id: 'root', index: 0, path: image }],
      directory: dirname(image),
      runDirectory,
      confined: confinement.works,
    });
    const stop = () => running.kill();
    signal?.addEventListener('abort', stop, { once: true });
    running.consoles[0]!.onBytes = linesTo(onLine);
    try {
      if (signal?.aborted) stop();
      await running.exited;
    } finally {
      signal?.removeEventListener('abort', stop);
      running.release();
      await rm(runDirectory, { recursive: true, force: true });
    }
  };
}

/** Splits what a console says; a line without an end is not kept for ever. */
function linesTo(onLine: (line: string) => void): (bytes: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = '';
  return (bytes) => {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/[\r\n]+/);
    rest = lines.pop()!.slice(-lineMax);
    for (const line of lines) if (line !== '') onLine(line);
  };
}
