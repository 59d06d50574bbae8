/**
 * The native engine: starts a User Mode Linux kernel as a process of its own session, inside its
 * compartment, and finds it again after a restart of ours. The socket of its management console
 * lies in its run directory.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { makeDirectory } from '../../../base/node/files.ts';
import { nicSlots } from '../../../machine/descriptors.ts';
import type { Engine, LaunchPlan, RunningMachine } from '../../../machine/engine.ts';
import { bubblewrap, findChild, startChild } from '../../../machine/node/child.ts';
import { findByArgument, killByArgument } from '../../../machine/node/processes.ts';
import { commandLine } from '../command-line.ts';
import { bareEnvironment, sandboxArguments, writtenParts } from '../sandbox.ts';
import { UmlMachine } from './machine.ts';
import { adoptInside, launchInside } from './nested-machine.ts';

export class UmlEngine implements Engine {
  readonly name = 'native';
  readonly nicSlots = nicSlots;
  readonly depthMax = 8;
  private readonly now: () => number;

  constructor(now: () => number) {
    this.now = now;
  }

  async launch(plan: LaunchPlan): Promise<RunningMachine> {
    if (plan.inside) return launchInside(plan, this.now());
    // Only what is there can be shown to it.
    for (const part of writtenParts(plan.directory)) await makeDirectory(part);
    const started = await startChild(plan, this.now(), (layout) => ({
      path: plan.kernel.path,
      line: commandLine(plan, layout),
      env: bareEnvironment(plan),
      ...(plan.confined ? { compartment: sandboxArguments(plan, layout.count) } : {}),
    }));
    return new UmlMachine({ plan, ...started });
  }

  async adopt(
    plan: Pick<LaunchPlan, 'directory' | 'runDirectory' | 'spec' | 'inside'>,
  ): Promise<RunningMachine | undefined> {
    if (plan.inside) return adoptInside(plan);
    const { runDirectory } = plan;
    const argument = `uml_dir=${runDirectory}/`;
    const found = await findChild(runDirectory, () => findByArgument(argument));
    if (found) return new UmlMachine({ plan, ...found, ends: new Map() });
    // It died while nobody looked; what it left in its compartment would wait there for ever.
    killByArgument(argument);
    return undefined;
  }
}

/** Whether a compartment can be made here, and if not, why. Asked once, kept by the caller. */
export async function probeConfinement(): Promise<{ works: boolean; reason?: string }> {
  if (!existsSync(bubblewrap)) {
    return { works: false, reason: 'bubblewrap is not installed (apt install bubblewrap).' };
  }
  const child = spawn(bubblewrap, ['--unshare-all', '--ro-bind', '/', '/', '--', '/bin/true'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr!.on('data', (bytes) => (said += String(bytes)));
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
    child.once('error', () => resolve(-1));
  });
  if (code === 0) return { works: true };
  const restricted = readRestriction();
  const why = restricted ?? said.trim().split('\n')[0]?.slice(0, 200) ?? 'it ended at once';
  return { works: false, reason: `bubblewrap does not work here: ${why}.` };
}

function readRestriction(): string | undefined {
  try {
    const value = readFileSync('/proc/sys/kernel/apparmor_restrict_unprivileged_userns', 'utf8');
    return value.trim() === '1' ? 'AppArmor restricts unprivileged user namespaces' : undefined;
  } catch {
    return undefined;
  }
}
