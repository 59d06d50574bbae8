/**
 * A native machine inside another one: what `resources/guest/nest.c` is asked, and what the inner
 * kernel is told. Pure; the frames that travel then are those of `machine/frames.ts`.
 */
import type { DescriptorLayout } from '../../machine/descriptors.ts';
import type { LaunchPlan } from '../../machine/engine.ts';
import { commandLine } from './command-line.ts';

/** Where things lie in the inner kernel's own root. */
export const innerPaths = {
  kernel: '/linux',
  initramfs: '/initramfs.gz',
  disks: '/disks',
  images: '/images',
  run: '/tmp/u',
} as const;

/** The plan with every path as the inner kernel sees it; images are numbered in disk order. */
export function innerPlan(plan: LaunchPlan): LaunchPlan {
  return {
    ...plan,
    // It could trace its programs as others do, at four times the cost of each of their calls.
    kernel: { ...plan.kernel, path: innerPaths.kernel, seccomp: true },
    initramfs: innerPaths.initramfs,
    runDirectory: innerPaths.run,
    disks: plan.disks.map((disk) => ({
      ...disk,
      path: `${innerPaths.disks}/${disk.index}`,
      ...(disk.backing === undefined ? {} : { backing: `${innerPaths.images}/${disk.index}` }),
    })),
  };
}

/** The words by which the agent of the outer guest starts it. */
export function startWords(
  name: string,
  seenAs: string,
  plan: LaunchPlan,
  layout: DescriptorLayout,
): string[] {
  const { consoles, memory } = plan.spec;
  const mib = Math.ceil(memory / 2 ** 20);
  const numbers = [consoles, layout.nics.length, mib].map(String);
  return [
    '@nest', 'start', name, seenAs, ...numbers,
    innerPaths.kernel, ...commandLine(innerPlan(plan), layout),
  ]; // prettier-ignore
}
