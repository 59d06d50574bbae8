/**
 * The compartment of a native machine, as arguments for bubblewrap: own user, mount, network,
 * process, IPC and host-name namespaces, no capabilities, `no_new_privs`, an empty environment,
 * and of the host's files nothing but its kernel, the libraries that kernel names, its initramfs,
 * the images below its overlays (all read-only), its own folder and its run directory.
 *
 * Paths inside are the same as outside, so that the kernel's control socket can answer ours.
 */
import type { LaunchPlan } from '../../machine/engine.ts';

export function sandboxArguments(plan: LaunchPlan, infoFd: number): string[] {
  const readOnly = new Set([
    ...plan.kernel.sharedLibraries,
    plan.kernel.path,
    plan.initramfs,
    ...plan.disks.flatMap((disk) => (disk.backing === undefined ? [] : [disk.backing])),
  ]);
  return [
    '--unshare-all',
    '--unshare-user',
    '--cap-drop',
    'ALL',
    '--uid',
    '1000',
    '--gid',
    '1000',
    '--hostname',
    'vkernel',
    '--clearenv',
    ...['--setenv', 'HOME', plan.runDirectory],
    ...['--setenv', 'TMPDIR', '/tmp'],
    ...['--proc', '/proc'],
    ...['--dev', '/dev'],
    ...['--tmpfs', '/tmp'],
    ...[...readOnly].flatMap((path) => ['--ro-bind', path, path]),
    ...['--bind', plan.directory, plan.directory],
    ...['--bind', plan.runDirectory, plan.runDirectory],
    ...['--chdir', plan.directory],
    ...['--info-fd', String(infoFd)],
    '--',
  ];
}

/** The whole environment of a kernel that runs without a compartment. */
export function bareEnvironment(plan: LaunchPlan): Record<string, string> {
  return { HOME: plan.runDirectory, TMPDIR: '/dev/shm' };
}
