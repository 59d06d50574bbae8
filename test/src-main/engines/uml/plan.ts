/** A launch plan for tests: one Tiny Linux machine called web, with the given changes. */
import type { LaunchPlan } from '../../../../src-main/machine/engine.ts';
import { newSpecText, parseSpec, type SpecInput } from '../../../../src-main/machine/spec.ts';

type Changes = Partial<Omit<LaunchPlan, 'spec' | 'kernel'>> & {
  spec?: Partial<SpecInput>;
  kernel?: Partial<LaunchPlan['kernel']>;
};

export function planOf({ spec, kernel, ...changes }: Changes = {}): LaunchPlan {
  return {
    name: 'web',
    spec: parseSpec(newSpecText({ id: '0a1b2c3d', ...spec })),
    kernel: {
      path: '/kernels/linux',
      sharedLibraries: [{ file: '/lib/libc.so.6', seenAs: '/lib/libc.so.6' }],
      seccomp: false,
      ...kernel,
    },
    initramfs: '/built/boot.cpio',
    disks: [
      {
        id: 'root',
        index: 0,
        path: '/machines/web/disks/root.cow',
        backing: '/images/tiny/disk.raw',
      },
    ],
    directory: '/machines/web',
    runDirectory: '/run/nymph/0a1b2c3d',
    confined: true,
    ...changes,
  };
}
