/**
 * The one implementation of the contract's table: finds what a call names, checks that it is
 * legal now, and hands it to the room that does it. No logic of its own beyond that.
 */
import { Refusal } from '../../base/refusal.ts';
import { methods, type MethodName, type Params, type Result } from '../../contract/methods.ts';
import type { EventName, Events } from '../../contract/events.ts';
import type { Api, Caller, Connection } from '../../rpc/server.ts';
import { editSpec, parseSpec, type MachineSpec } from '../../machine/spec.ts';
import type { App } from './app.ts';
import type { Driver } from './driver.ts';
import { detachDisk } from './plugging.ts';
import { askMonitor, askTranslator } from './questions.ts';
import { attachConsole, execInGuest, sendConsoleLog } from './streams.ts';
import { runThrowaway } from './throwaway.ts';

type Handlers = {
  [M in MethodName]: (params: Params<M>, caller: Caller) => Promise<Result<M>> | Result<M>;
};

/** What is done to a paused machine, and for one inside another by the guest around it. */
const reachesInside: readonly MethodName[] = [
  'machine.resume',
  'machine.kill',
  'machine.reset',
  'snapshot.revert',
];

/** What is not to be had of one that is suspended as a part of the machine around it. */
const ofItsOwn: readonly MethodName[] = [
  'machine.start', 'machine.kill', 'machine.reset', 'machine.remove',
  'snapshot.create', 'snapshot.revert',
]; // prettier-ignore

export class AppApi implements Api {
  private readonly app: App;
  private readonly handlers: Handlers;
  private readonly connections = new Set<Connection>();

  constructor(app: App) {
    this.app = app;
    this.handlers = {
      ...hostHandlers(app),
      ...machineHandlers(app),
      ...lifeHandlers(app),
      ...snapshotHandlers(app),
      ...partHandlers(app),
      ...libraryHandlers(app),
      ...fileHandlers(app),
      'events.subscribe': (_, { connection }) => {
        connection.subscribed = true;
        connection.emit('snapshot', app.snapshot());
        return null;
      },
      'stats.watch': ({ machines }, { connection }) =>
        app.stats.watch(
          connection,
          machines.map((name) => app.machines.find(name).spec?.id ?? name),
        ),
    };
  }

  call(method: MethodName, params: unknown, caller: Caller): Promise<unknown> {
    return (async () => {
      this.refuseWrongState(method, params);
      const handler = this.handlers[method] as (params: unknown, caller: Caller) => unknown;
      return handler(params, caller);
    })();
  }

  connected(connection: Connection): void {
    this.connections.add(connection);
  }

  disconnected(connection: Connection): void {
    this.connections.delete(connection);
    this.app.stats.forget(connection);
  }

  emit<E extends EventName>(event: E, payload: Events[E]): void {
    for (const connection of this.connections) {
      if (connection.subscribed) connection.emit(event, payload);
    }
  }

  closeAll(): void {
    for (const connection of this.connections) connection.close();
  }

  /** The `when` column of the table, checked in this one place. */
  private refuseWrongState(method: MethodName, params: unknown): void {
    const row = methods[method];
    const { machine } = params as { machine?: string };
    if (machine === undefined || method === 'machine.recover' || method === 'machine.purge') return;
    const driver = this.app.machines.find(machine);
    this.app.bundles.refuseHeld(method, driver);
    if (ofItsOwn.includes(method)) this.app.family.refuseAsleep(driver);
    if (!('when' in row) || !row.when) return;
    const state = this.app.family.stateOf(driver);
    const verb = method.split('.')[1]!;
    if (!(row.when as readonly string[]).includes(state)) {
      throw new Refusal(
        'wrong-state',
        `“${driver.name}” is ${state}: ${verb} is not possible now.`,
      );
    }
    if (reachesInside.includes(method)) this.app.family.refuseStill(driver);
  }
}

function hostHandlers(app: App) {
  return {
    'host.info': () => app.host(),
    'host.doctor': () => app.doctor(),
    'host.quit': ({ machines }: Params<'host.quit'>) => {
      // The answer goes out first; a client that asked is not to see a broken connection.
      setTimeout(() => void app.quit(machines), 20);
      return null;
    },
    'job.list': () => app.jobs.list(),
    'job.cancel': ({ job }: Params<'job.cancel'>) => {
      app.jobs.cancel(job);
      return null;
    },
    'job.wait': ({ job }: Params<'job.wait'>) => app.jobs.wait(job),
    'job.log': ({ job }: Params<'job.log'>) => ({ text: app.jobs.log(job) }),
  };
}

function machineHandlers(app: App) {
  const find = (name: string) => app.machines.find(name);
  const then = viewAfter(app);
  return {
    'file.grant': ({ path }: Params<'file.grant'>, caller: Caller) => {
      mustBeTrusted(caller);
      return { grant: app.uploads.grantPath(path) };
    },
    'machine.list': () => app.machines.all().map((driver) => app.viewMachine(driver)),
    'machine.get': ({ machine }: Params<'machine.get'>) => app.viewMachine(find(machine)),
    'machine.create': async (wanted: Params<'machine.create'>, caller: Caller) => {
      if (wanted.diskPaths.length > 0) mustBeTrusted(caller);
      // Before an image is imported for a machine that then is refused.
      app.machines.refuseCreation(wanted);
      const extra = [];
      for (const path of wanted.diskPaths) extra.push(await app.importNow(path, caller.signal));
      const driver = await app.machines.create(wanted);
      for (const image of extra) await app.machines.addDisk(driver, { image });
      return app.viewMachine(driver);
    },
    'machine.update': ({ machine, changes }: Params<'machine.update'>, caller: Caller) => {
      if (changes.shares) mustBeTrusted(caller);
      return then(machine, (driver) => updateMachine(app, driver, changes));
    },
    'machine.config': async ({ machine }: Params<'machine.config'>) => ({
      text: await app.store.readSpec(find(machine).name),
    }),
    'machine.setConfig': ({ machine, text }: Params<'machine.setConfig'>, caller: Caller) => {
      const paths = (spec?: MachineSpec) =>
        JSON.stringify([spec?.shares ?? [], spec?.firmware ?? '']);
      const driver = find(machine);
      if (paths(parseSpec(text)) !== paths(driver.spec)) mustBeTrusted(caller);
      return then(machine, () => driver.setText(text));
    },
    'machine.remove': async ({ machine, force, children }: Params<'machine.remove'>) => {
      await app.machines.remove(find(machine), force, children);
      await app.announceTrash();
      return null;
    },
    'machine.trash': () => app.store.trash(),
    'machine.recover': async ({ machine }: Params<'machine.recover'>) => {
      const driver = await app.machines.recover(machine);
      await app.announceTrash();
      return app.viewMachine(driver);
    },
    'machine.purge': async ({ machine }: Params<'machine.purge'>) => {
      await app.store.purge(machine);
      await app.announceTrash();
      return null;
    },
    'machine.log': ({ machine }: Params<'machine.log'>) => [...find(machine).log],
    'machine.exec': (wanted: Params<'machine.exec'>, caller: Caller) =>
      execInGuest(find(wanted.machine), wanted, caller),
    'machine.run': (wanted: Params<'machine.run'>, caller: Caller) =>
      runThrowaway(app, wanted, caller),
  };
}

/** Does something with a machine, and answers with what it is then. */
function viewAfter(app: App) {
  return async (name: string, work: (driver: Driver) => Promise<unknown>) => {
    const driver = app.machines.find(name);
    await work(driver);
    return app.viewMachine(driver);
  };
}

/** What makes a machine another state. */
function lifeHandlers(app: App) {
  const then = viewAfter(app);
  return {
    'machine.start': ({ machine }: Params<'machine.start'>) => then(machine, (d) => d.start()),
    'machine.stop': ({ machine, timeoutMs, children }: Params<'machine.stop'>) =>
      then(machine, async (driver) => {
        await endInside(app, driver, children, timeoutMs);
        await driver.stop(timeoutMs);
      }),
    'machine.kill': ({ machine, children }: Params<'machine.kill'>) =>
      then(machine, async (driver) => {
        await endInside(app, driver, children);
        await driver.kill();
      }),
    'machine.pause': ({ machine }: Params<'machine.pause'>) => then(machine, (d) => d.pause()),
    'machine.resume': ({ machine }: Params<'machine.resume'>) => then(machine, (d) => d.resume()),
    'machine.suspend': ({ machine }: Params<'machine.suspend'>) =>
      then(machine, (driver) => app.family.suspend(driver)),
    'machine.reset': ({ machine, children }: Params<'machine.reset'>) =>
      then(machine, async (driver) => {
        await endInside(app, driver, children);
        await driver.reset();
      }),
    'machine.reclaim': async ({ machine }: Params<'machine.reclaim'>) => ({
      freedBytes: await app.machines.find(machine).returnMemory(0),
    }),
    'machine.monitor': async ({ machine, request }: Params<'machine.monitor'>) => ({
      text: await askMonitor(app.machines.find(machine), request),
    }),
    'machine.translator': ({ machine }: Params<'machine.translator'>) =>
      askTranslator(app.machines.find(machine)),
  };
}

function snapshotHandlers(app: App) {
  const find = (name: string) => app.machines.find(name);
  const then = viewAfter(app);
  return {
    'machine.clone': async ({ machine, snapshot, name }: Params<'machine.clone'>) =>
      app.viewMachine(await app.snapshots.clone(find(machine), snapshot, name)),
    'snapshot.list': ({ machine }: Params<'snapshot.list'>) => [...find(machine).snapshots],
    'snapshot.create': ({ machine, snapshot }: Params<'snapshot.create'>) => {
      const driver = find(machine);
      app.family.refuseInhabited(driver);
      return app.snapshots.create(driver, snapshot);
    },
    'snapshot.revert': ({ machine, snapshot }: Params<'snapshot.revert'>) =>
      then(machine, (driver) => {
        app.family.refuseInhabited(driver);
        return app.snapshots.revert(driver, snapshot);
      }),
    'snapshot.remove': async ({ machine, snapshot }: Params<'snapshot.remove'>) => {
      await app.snapshots.remove(find(machine), snapshot);
      return null;
    },
  };
}

function partHandlers(app: App) {
  const find = (name: string) => app.machines.find(name);
  const view = (driver: Driver) => app.viewMachine(driver);
  return {
    'console.attach': (wanted: Params<'console.attach'>, caller: Caller) =>
      attachConsole(find(wanted.machine), wanted, caller),
    'console.log': (wanted: Params<'console.log'>, caller: Caller) =>
      sendConsoleLog(find(wanted.machine), wanted.console, caller),
    'console.resize': (wanted: Params<'console.resize'>) => {
      find(wanted.machine).setWindow(wanted.console, wanted.rows, wanted.columns);
      return null;
    },
    'disk.add': async ({ machine, ...wanted }: Params<'disk.add'>) => {
      const driver = find(machine);
      await app.machines.addDisk(driver, wanted);
      return view(driver);
    },
    'disk.detach': async ({ machine, disk }: Params<'disk.detach'>) => {
      const driver = find(machine);
      await detachDisk(driver, disk);
      return view(driver);
    },
    'disk.delete': async ({ machine, disk }: Params<'disk.delete'>) => {
      const driver = find(machine);
      await app.machines.deleteDisk(driver, disk);
      return view(driver);
    },
    'network.list': () => app.lans.list(),
    'network.create': ({ name, dhcp, dns }: Params<'network.create'>) =>
      app.lans.create(name, { dhcp, dns }),
    'network.update': ({ network, ...changes }: Params<'network.update'>) =>
      app.lans.update(network, changes),
    'network.remove': async ({ network }: Params<'network.remove'>) => {
      app.api.emit('network.removed', { id: await app.lans.remove(network) });
      return null;
    },
    'network.connect': async ({ machine, network }: Params<'network.connect'>) => {
      const driver = find(machine);
      await app.machines.connect(driver, network);
      return view(driver);
    },
    'network.disconnect': async ({ machine, network }: Params<'network.disconnect'>) => {
      const driver = find(machine);
      await app.machines.disconnect(driver, network);
      return view(driver);
    },
  };
}

/** Files of the host and from a browser, going in and out. */
function fileHandlers(app: App) {
  return {
    'machine.export': ({ machine, path }: Params<'machine.export'>, caller: Caller) => {
      if (path !== undefined) mustBeTrusted(caller);
      return app.bundles.export(app.machines.find(machine), path);
    },
    'machine.import': ({ source, name }: Params<'machine.import'>, caller: Caller) => {
      const file = app.uploads.resolve(source, caller.trusted);
      return app.bundles.import(file, name, file.done);
    },
    'image.inspect': async (wanted: Params<'image.inspect'>, caller: Caller) => {
      const file = handed(app, wanted, caller);
      const bundle = await app.bundles.inspect(file);
      if (bundle) return bundle;
      const report = await app.images.inspect(file, caller.signal);
      if (!report.backing || !file.alone) return report;
      throw new Refusal(
        'unsupported',
        'This qcow2 image holds only the changes to another file, which was not sent with it. ' +
          'Merge them with "qemu-img convert -O qcow2" first.',
      );
    },
    'image.import': async (wanted: Params<'image.import'>, caller: Caller) => {
      const file = handed(app, wanted, caller);
      if (await app.bundles.inspect(file)) {
        throw new Refusal('unsupported', 'This is a machine bundle: import it as a machine.');
      }
      return app.images.import(file, wanted.name, file.done);
    },
  };
}

function libraryHandlers(app: App) {
  return {
    'layout.get': () => app.layout.get(),
    'layout.set': async ({ places }: Params<'layout.set'>) => {
      await app.layout.set(places);
      return null;
    },
    'image.list': () => app.images.list(),
    'image.info': ({ image }: Params<'image.info'>) => {
      const view = app.images.view(image);
      if (!view) throw new Refusal('not-found', `There is no image “${image}”.`);
      return view;
    },
    'image.build': ({ recipe }: Params<'image.build'>) => app.images.build(recipe),
    'image.remove': async ({ image }: Params<'image.remove'>) => {
      await app.images.remove(image);
      return null;
    },
    'engine.prepare': ({ engine }: Params<'engine.prepare'>) => app.kit.prepare(engine),
    'kernel.list': () => app.kernels.list(),
    'kernel.build': ({ flavour }: Params<'kernel.build'>) => app.kernels.build(flavour ?? 'up'),
    'kernel.import': async ({ source }: Params<'kernel.import'>, caller: Caller) => {
      const file = app.uploads.resolve(source, caller.trusted);
      try {
        return await app.kernels.import(file.path, file.title);
      } finally {
        file.done();
      }
    },
    'kernel.setDefault': async ({ kernel }: Params<'kernel.setDefault'>) => {
      await app.kernels.setDefault(kernel);
      return null;
    },
    'kernel.remove': async ({ kernel }: Params<'kernel.remove'>) => {
      await app.kernels.remove(kernel);
      return null;
    },
  };
}

/** The file that a call is about. What a browser has sent lies alone, so nothing is beside it. */
function handed(
  app: App,
  { source, withBacking }: Pick<Params<'image.import'>, 'source' | 'withBacking'>,
  caller: Caller,
) {
  const file = app.uploads.resolve(source, caller.trusted);
  if (withBacking && file.alone) {
    throw new Refusal('denied', 'Only this one file was sent, not the one that it builds on.');
  }
  return { ...file, withBacking };
}

/** Before a machine ends: those inside of it too if that is meant, else it is refused. */
async function endInside(
  app: App,
  driver: Driver,
  children: boolean,
  timeoutMs?: number,
): Promise<void> {
  if (children) await app.family.stopInside(driver, timeoutMs);
  else app.family.refuseAlive(driver);
}

async function updateMachine(
  app: App,
  driver: Driver,
  changes: Params<'machine.update'>['changes'],
): Promise<void> {
  const { name, memoryMib, ...rest } = changes;
  const wanted = {
    ...rest,
    ...(memoryMib === undefined ? {} : { memory: `${memoryMib}MiB` }),
  };
  const given = Object.entries(wanted).filter(([, value]) => value !== undefined);
  // Tried on the text first, so that a refused value changes nothing, the name included.
  editSpec(await app.store.readSpec(driver.name), Object.fromEntries(given));
  if (name !== undefined && name !== driver.name) await app.machines.rename(driver, name);
  if (given.length > 0) await driver.configure(Object.fromEntries(given));
}

function mustBeTrusted(caller: Caller): void {
  if (caller.trusted) return;
  throw new Refusal('denied', 'A browser cannot name files of this host; drop the file instead.');
}
