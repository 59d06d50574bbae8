/**
 * The compartment of a native machine: its kernel, the libraries that kernel names, its initramfs
 * and the images below its overlays, all read-only; its own folder and its run directory.
 */
import { compartmentArguments } from '../../machine/compartment.ts';
import type { LaunchPlan } from '../../machine/engine.ts';

export function sandboxArguments(plan: LaunchPlan, infoFd: number): string[] {
  return compartmentArguments({
    readOnly: [
      plan.kernel.path,
      plan.initramfs,
      ...plan.disks.flatMap((disk) => (disk.backing === undefined ? [] : [disk.backing])),
    ],
    libraries: plan.kernel.sharedLibraries,
    writable: [plan.directory, plan.runDirectory],
    directory: plan.directory,
    home: plan.runDirectory,
    infoFd,
  });
}

/** The whole environment of a kernel that runs without a compartment. */
export function bareEnvironment(plan: LaunchPlan): Record<string, string> {
  return { HOME: plan.runDirectory, TMPDIR: '/dev/shm' };
}
