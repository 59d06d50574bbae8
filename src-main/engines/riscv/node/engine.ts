/**
 * The portable engine: starts a RISC-V machine as a Node process of its own session, inside a
 * compartment where there is one, and finds it again after a restart of ours.
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import { nodeProgram, outsideArchive } from '../../../base/node/program.ts';
import { compartmentArguments } from '../../../machine/compartment.ts';
import { nicSlots, type DescriptorLayout } from '../../../machine/descriptors.ts';
import type { Engine, LaunchPlan, RunningMachine } from '../../../machine/engine.ts';
import { sharedFolders } from '../../../machine/shares.ts';
import { bubblewrap, findChild, startChild, type Program } from '../../../machine/node/child.ts';
import { findByArgument } from '../../../machine/node/processes.ts';
import { machineFile, memoryBytesMax } from '../machine-file.ts';
import { hartsMax } from '../machine.ts';
import { depthMax } from '../nest.ts';
import { CodeCache } from './code-cache.ts';
import { adoptInside, launchInside } from './nested-machine.ts';
import { nodeOptions } from './options.ts';
import { PortableMachine } from './portable-machine.ts';

const node = nodeProgram();
const child = outsideArchive(join(import.meta.dirname, './child.ts'));
/** The sources, or what stands for them in a package: all that the process imports. */
const sources = outsideArchive(resolve(import.meta.dirname, '../../..'));
/** The one package that the process uses, and its native half beside it. */
const koffi = outsideArchive(dirname(createRequire(import.meta.url).resolve('koffi')));
const modules = [koffi, resolve(koffi, '../@koromix')].filter((path) => existsSync(path));
/** Where a dynamically linked Node finds its loader and libraries. */
const systemFolders = ['/usr', '/lib', '/lib64', '/etc/ld.so.cache'];

export class PortableEngine implements Engine {
  readonly name = 'portable';
  readonly nicSlots = nicSlots;
  readonly depthMax = depthMax;
  private readonly now: () => number;
  private readonly cache?: CodeCache;

  /** @param cache a folder for what Node makes of our sources; without, it does so each time. */
  constructor(now: () => number, cache?: string) {
    this.now = now;
    if (cache !== undefined) this.cache = new CodeCache(cache);
  }

  async launch(plan: LaunchPlan): Promise<RunningMachine> {
    if (plan.inside) return launchInside(plan, this.now());
    const { spec } = plan;
    if (spec.memory > memoryBytesMax) {
      throw new Refusal('unsupported', 'The portable engine runs machines with up to 3GiB.');
    }
    if (spec.cpus > hartsMax) {
      throw new Refusal('unsupported', `The portable engine runs up to ${hartsMax} processors.`);
    }
    const started = await startChild(plan, this.now(), async (layout) => {
      const path = join(plan.runDirectory, 'machine.json');
      await writeFile(path, JSON.stringify(machineFile(plan, layout)), { mode: 0o600 });
      return programOf(plan, layout, await this.cache?.open());
    });
    this.cache?.fillSoon(plan.confined, warmArgv);
    return new PortableMachine({ plan, ...started });
  }

  async adopt(
    plan: Pick<LaunchPlan, 'directory' | 'runDirectory' | 'spec' | 'inside'>,
  ): Promise<RunningMachine | undefined> {
    if (plan.inside) return adoptInside(plan);
    const { runDirectory } = plan;
    const found = await findChild(runDirectory, () => findByArgument(`${runDirectory}/`));
    return found && new PortableMachine({ plan, ...found, ends: new Map() });
  }
}

/** What every process of ours may read. */
const readable = [...systemFolders, dirname(node), sources, ...modules];

function programOf(plan: LaunchPlan, layout: DescriptorLayout, cache?: CodeCache): Program {
  const { runDirectory, spec } = plan;
  const line = [...nodeOptions, child, `${runDirectory}/`, plan.name];
  if (!plan.confined) {
    return { path: node, line, env: { HOME: runDirectory, ...cache?.environment } };
  }
  const compartment = compartmentArguments({
    readOnly: [
      ...readable,
      ...(cache ? [cache.directory] : []),
      plan.kernel.path,
      plan.initramfs,
      ...(plan.kernel.modules === undefined ? [] : [plan.kernel.modules]),
      ...plan.disks.flatMap((disk) => (disk.backing === undefined ? [] : [disk.backing])),
      ...(spec.firmware === undefined ? [] : [spec.firmware]),
      ...sharedFolders(spec, { readOnly: true }),
    ],
    writable: [plan.directory, runDirectory, ...sharedFolders(spec, { readOnly: false })],
    directory: plan.directory,
    home: runDirectory,
    environment: cache?.environment,
    infoFd: layout.count,
  });
  return { path: node, line, env: { HOME: runDirectory }, compartment };
}

/** The same Node as a machine's, for a script that fills the cache. */
function warmArgv(script: string, confined: boolean, cache: CodeCache): readonly string[] {
  const { directory, environment } = cache;
  const line = [node, ...nodeOptions, script];
  if (!confined) return line;
  const compartment = compartmentArguments({
    readOnly: readable,
    writable: [directory],
    directory,
    home: directory,
    environment,
    infoFd: 3,
  });
  return [bubblewrap, ...compartment, ...line];
}
