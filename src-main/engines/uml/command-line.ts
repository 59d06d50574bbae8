/**
 * What a User Mode Linux kernel is told on its command line: pure functions of the plan and of the
 * descriptors it inherits, so that the exact line can be shown and tested.
 */
import type { LaunchPlan, PlannedDisk } from '../../machine/engine.ts';
import type { DescriptorLayout } from '../../machine/descriptors.ts';
import { assert } from '../../base/assert.ts';

/** The serial line that the agent holds: /dev/ttyS7 in the guest. */
const agentSerial = 7;

/** `vec0:…`: MTU 1500, deep queues and vector calls, over one end of a socket pair. */
export function nicArgument(slot: number, near: number, mac: string): string {
  return `vec${slot}:transport=fd,fd=${near},depth=64,vec=1,mac=${mac}`;
}

export function diskArgument(disk: PlannedDisk): string {
  const { index } = disk;
  assert(index >= 0 && index < 16, 'a ubd device has an index below 16');
  assertPlainPath(disk.path);
  if (disk.backing === undefined) return `ubd${index}d=${disk.path}`;
  assertPlainPath(disk.backing);
  // The kernel compares the backing's name with the one in the overlay; giving both re-points it.
  return `ubd${index}=${disk.path},${disk.backing}`;
}

/** The guest's device for the root partition. */
export function rootDevice(partition: number): string {
  return partition === 0 ? '/dev/ubda' : `/dev/ubda${partition}`;
}

export function commandLine(plan: LaunchPlan, layout: DescriptorLayout): string[] {
  const { spec } = plan;
  const line = [
    `mem=${Math.floor(spec.memory / 2 ** 20)}M`,
    'umid=m',
    `uml_dir=${plan.runDirectory}/`,
    `initrd=${plan.initramfs}`,
    ...plan.disks.map(diskArgument),
    'con=null',
    'ssl=null',
    ...layout.consoles.map((fds, index) => `con${index}=fd:${fds.input},fd:${fds.output}`),
    `ssl${agentSerial}=fd:${layout.agent.input},fd:${layout.agent.output}`,
    ...spec.nics.map((nic) => nicArgument(nic.slot, layout.nics[nic.slot]!.near, nic.mac)),
  ];
  if (plan.kernel.seccomp) line.push('seccomp=on');
  if (spec.cpus > 1) line.push(`ncpus=${spec.cpus}`);
  // A given loops-per-jiffy spares the kernel measuring it, which is most of its boot.
  line.push('lpj=5000000', 'console=tty0', 'quiet');
  line.push(
    `nymph.root=${rootDevice(spec.rootPartition)}`,
    `nymph.rootfs=${spec.rootFilesystem}`,
    `nymph.agent=/dev/ttyS${agentSerial}`,
    `nymph.hostname=${plan.name}`,
  );
  if (spec.init) line.push(`nymph.init=${spec.init}`);
  if (spec.commandLine) line.push(...spec.commandLine.split(/\s+/).filter(Boolean));
  return line;
}

function assertPlainPath(path: string): void {
  // The kernel splits at commas and colons and a space would end the argument.
  assert(/^\/[^\s,:]*$/.test(path), `a disk path without space, comma or colon: ${path}`);
}
