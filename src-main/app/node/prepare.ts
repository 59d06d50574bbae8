/**
 * What the set-up makes before the app opens, each only when it is missing: the boot ramdisk and
 * Tiny Linux (moments), and, where it cannot wait, the vkernel in both flavours (minutes). For the
 * app itself the kernel is not waited for: it is built as a job while a packaged one serves, which
 * is fetched (seconds) where the installed one cannot.
 */
import { readdir } from 'node:fs/promises';
import { missingBuildPackages, buildKernel } from '../../kernels/node/build.ts';
import type { KernelFlavour } from '../../kernels/fragment.ts';
import { canRun } from '../../kernels/kernel.ts';
import { openKernelLibrary } from '../../kernels/node/library.ts';
import { fetchPackagedKernel } from '../../kernels/node/packaged.ts';
import { recipeOf } from '../../kernels/recipe.ts';
import { buildTiny } from '../../images/node/tiny.ts';
import { buildBootRamdisk, builtDirectory, tinyKey } from './image-makers.ts';
import { nymphPaths } from './paths.ts';

export interface PrepareStep {
  readonly title: string;
  needed(): Promise<boolean>;
  run(
    report: (fraction: number | undefined, text: string) => void,
    signal: AbortSignal,
  ): Promise<void>;
}

/** `kernels`: wait for the vkernel too, as the tests and the bench must. */
export function prepareSteps(wanted: { kernels: boolean }): PrepareStep[] {
  return [
    { title: 'Tiny Linux', needed: tinyMissing, run: makeTiny },
    ...(wanted.kernels ? [] : [firstKernel]),
    ...(wanted.kernels ? [kernelStep('up'), kernelStep('smp'), kernelStep('riscv64')] : []),
    ...(wanted.kernels ? [{ title: 'Tiny Linux for RISC-V', ...portableTiny }] : []),
  ];
}

/** Both are found again by their content in a few milliseconds, but not before they are made. */
async function tinyMissing(): Promise<boolean> {
  const made = await readdir(builtDirectory(nymphPaths())).catch((): string[] => []);
  return (
    !made.some((name) => name.startsWith('tiny-')) ||
    !made.some((name) => name.startsWith('boot-x86_64-'))
  );
}

/** The boot program and the image of the portable engine, kept by their content as the others. */
const portableTiny: Omit<PrepareStep, 'title'> = {
  needed: async () => {
    const made = await readdir(builtDirectory(nymphPaths())).catch((): string[] => []);
    return !['busybox-riscv64-', 'boot-riscv64-'].every((stem) =>
      made.some((name) => name.startsWith(stem)),
    );
  },
  run: async (report) => {
    const paths = nymphPaths();
    report(undefined, 'the boot program');
    await buildBootRamdisk(paths, 'riscv64');
    report(undefined, 'the image');
    await tinyKey(paths, 'tiny-riscv64');
  },
};

async function makeTiny(report: (fraction: undefined, text: string) => void): Promise<void> {
  const paths = nymphPaths();
  report(undefined, 'the boot program');
  await buildBootRamdisk(paths, 'x86_64');
  report(undefined, 'the image');
  await buildTiny({ cache: builtDirectory(paths) });
}

/** A kernel that can run here at all. */
const firstKernel: PrepareStep = {
  title: 'A kernel for the first minutes',
  needed: async () => {
    if (process.platform !== 'linux' || process.arch !== 'x64') return false;
    const library = openKernelLibrary({ cacheDirectory: nymphPaths().kernels });
    return !canRun(await library.list(), 'native');
  },
  run: async (report, signal) => {
    const onStep = (step: string) => report(undefined, step);
    await fetchPackagedKernel({ cacheDirectory: nymphPaths().kernels, signal, onStep });
  },
};

const kernelTitles: Record<KernelFlavour, string> = {
  up: 'The vkernel',
  smp: 'The vkernel for several processors',
  riscv64: 'The portable vkernel',
};

function kernelStep(flavour: KernelFlavour): PrepareStep {
  const cacheDirectory = nymphPaths().kernels;
  return {
    title: kernelTitles[flavour],
    needed: async () => {
      const library = openKernelLibrary({ cacheDirectory });
      return (await library.findBuilt(recipeOf(flavour))) === undefined;
    },
    run: async (report, signal) => {
      await buildKernel({
        cacheDirectory,
        flavour,
        signal,
        onProgress: ({ fraction, step }) => report(fraction, step),
      });
    },
  };
}

/** Whether a build of the vkernel can be begun here without asking anybody for anything. */
export function canBuildKernel(): boolean {
  return (
    process.platform === 'linux' && process.arch === 'x64' && missingBuildPackages().length === 0
  );
}
