/**
 * A backend that only pretends: machines change state after a moment, consoles echo, samples are
 * waves. It speaks the real contract through the real rpc server, so the window cannot tell.
 * Test equipment; never shipped.
 */
import type { Events, EventName } from '../../src-main/contract/events.ts';
import type { MachineView, StatsSample } from '../../src-main/contract/machine.ts';
import type { MethodName, Params } from '../../src-main/contract/methods.ts';
import { methods } from '../../src-main/contract/methods.ts';
import type { CanvasLayout, ImageReport, JobView } from '../../src-main/contract/things.ts';
import { Refusal } from '../../src-main/base/refusal.ts';
import type { Api, Caller, Connection, StreamPort } from '../../src-main/rpc/server.ts';
import * as data from './fake-data.ts';
import { fakeLife } from './fake-life.ts';

type Handlers = {
  [M in MethodName]: (params: Params<M>, caller: Caller) => unknown;
};

const text = new TextEncoder();
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export class FakeApi implements Api {
  /** Reports by grant; whoever takes an upload puts one here. */
  readonly grants = new Map<string, ImageReport>();
  /** What has been written to all consoles. */
  typedBytes = 0;
  private readonly connections = new Set<Connection>();
  private readonly watched = new Map<Connection, Set<string>>();
  private readonly machines = new Map<string, MachineView>();
  private readonly networks = new Map(data.networks().map((each) => [each.name, each]));
  private readonly images;
  private kernels = data.kernels();
  private readonly jobs = new Map<string, JobView>();
  private readonly configs = new Map<string, string>();
  private trash: { machine: MachineView; trashedMs: number }[] = [];
  private readonly consoles = new Map<string, Set<StreamPort>>();
  private readonly scrollback = new Map<string, string>();
  private places: CanvasLayout = {};
  private lastJob = 0;
  private readonly sinceMs = Date.now();
  private readonly stepMs: number;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(options: { stepMs?: number; empty?: boolean } = {}) {
    this.stepMs = options.stepMs ?? 250;
    const now = Date.now();
    this.images = new Map(data.images(now).map((each) => [each.name, each]));
    if (!options.empty) for (const each of data.machinesAt(now)) this.machines.set(each.id, each);
    else this.networks.clear();
    const gone = data.machineOf({ name: 'old-mail' }, now);
    if (!options.empty) this.trash = [{ machine: gone, trashedMs: now - 86_400_000 }];
    this.wire();
    this.timer = setInterval(() => this.tick(), 1000);
  }

  close(): void {
    clearInterval(this.timer);
  }

  connected(connection: Connection): void {
    this.connections.add(connection);
  }

  disconnected(connection: Connection): void {
    this.connections.delete(connection);
    this.watched.delete(connection);
  }

  async call(method: MethodName, params: unknown, caller: Caller): Promise<unknown> {
    const handler = this.handlers[method] as (params: unknown, caller: Caller) => unknown;
    const { machine: name } = params as { machine?: string };
    const row = methods[method] as { when?: readonly string[] };
    if (name && row.when) {
      const machine = this.find(name);
      if (!row.when.includes(machine.state)) {
        throw new Refusal('wrong-state', `${machine.name} is ${machine.state}.`);
      }
    }
    return handler(params, caller);
  }

  private emit<E extends EventName>(event: E, payload: Events[E]): void {
    for (const each of this.connections) if (each.subscribed) each.emit(event, payload);
  }

  private trashed() {
    const realBytes = 3.6 * 2 ** 20;
    return this.trash.map((each) => ({ ...each, name: each.machine.name, realBytes }));
  }

  private tellTrash(): void {
    this.emit('trash.changed', { machines: this.trashed() });
  }

  private find(name: string): MachineView {
    const found = [...this.machines.values()].find((each) => [each.id, each.name].includes(name));
    if (!found) throw new Refusal('not-found', `There is no machine “${name}”.`);
    return found;
  }

  private put(machine: MachineView, changes: Partial<MachineView>): MachineView {
    const next = { ...this.find(machine.id), ...changes };
    if (changes.state) next.sinceMs = Date.now();
    this.machines.set(machine.id, next);
    this.emit('machine.changed', next);
    return next;
  }

  private add(machine: MachineView): MachineView {
    this.machines.set(machine.id, machine);
    return this.put(machine, {});
  }

  private async start(machine: MachineView): Promise<MachineView> {
    if (machine.fault) throw new Refusal('bad-input', machine.fault);
    this.put(machine, { state: 'starting', reason: undefined, lastLines: undefined });
    await pause(this.stepMs);
    for (let n = 0; n < machine.consoles; n += 1) {
      const banner = `\r\n\x1b[1mTiny Linux\x1b[0m on ${machine.name}, console ${n}\r\n\r\n`;
      this.say(machine, n, `${banner}\x1b[32m${machine.name}\x1b[0m:\x1b[34m~\x1b[0m# `);
    }
    const started = data.machinesAt(Date.now())[0]!;
    const guest = { ...started.guest!, osName: 'Tiny Linux 1', hostname: machine.name };
    const startedMs = Date.now();
    return this.put(machine, {
      state: 'running', startedMs, pid: 5120, bootMs: 84, agent: true, guest,
    });
  }

  private say(machine: MachineView, console: number, words: string): void {
    const key = `${machine.id}:${console}`;
    this.scrollback.set(key, ((this.scrollback.get(key) ?? '') + words).slice(-65536));
    for (const stream of this.consoles.get(key) ?? []) {
      const bytes = text.encode(words);
      if (bytes.length <= stream.creditBytes) stream.send(bytes);
    }
  }

  private async attach(
    { machine: name, console: number, mark }: Params<'console.attach'>,
    caller: Caller,
  ): Promise<null> {
    const machine = this.find(name);
    const key = `${machine.id}:${number}`;
    const stream = caller.stream!;
    const prompt = `\x1b[32m${machine.name}\x1b[0m:\x1b[34m~\x1b[0m# `;
    if (!this.scrollback.has(key) && machine.state !== 'off') this.scrollback.set(key, prompt);
    await stream.sendAll(text.encode(this.scrollback.get(key) ?? ''));
    if (mark) stream.mark();
    const set = this.consoles.get(key) ?? new Set();
    this.consoles.set(key, set.add(stream));
    let line = '';
    stream.onBytes = (bytes) => {
      this.typedBytes += bytes.length;
      for (const char of new TextDecoder().decode(bytes)) {
        if (char === '\r') {
          const pieces = line === 'flood' ? 6000 : 0;
          for (let n = 0; n < pieces; n += 1) this.say(machine, number, `\r\npiece ${n}`);
          this.say(machine, number, `\r\n${answer(line)}${prompt}`);
          line = '';
        } else if (char === '\x7f') {
          if (line) this.say(machine, number, '\b \b');
          line = line.slice(0, -1);
        } else {
          line += char;
          // As a tty echoes a control character: ^[ for an escape.
          const code = char.charCodeAt(0);
          this.say(machine, number, code < 32 ? `^${String.fromCharCode(code + 64)}` : char);
        }
      }
    };
    await new Promise<void>((resolve) => {
      caller.signal.addEventListener('abort', () => resolve(), { once: true });
      stream.onEnd = resolve;
    });
    set.delete(stream);
    return null;
  }

  private job(kind: JobView['kind'], title: string, steps: string[], done: () => string): JobView {
    const id = `j${++this.lastJob}`;
    const job: JobView = {
      id, kind, title, step: steps[0]!, state: 'running', fraction: 0, startedMs: Date.now(),
    };
    this.jobs.set(id, job);
    this.emit('job.changed', job);
    void (async () => {
      const ticks = 12;
      for (let tick = 1; tick <= ticks; tick += 1) {
        await pause(this.stepMs);
        const now = this.jobs.get(id)!;
        if (now.state !== 'running') return;
        const step = steps[Math.floor(((tick - 1) / ticks) * steps.length)]!;
        this.putJob({ ...now, step, fraction: tick / ticks });
      }
      this.putJob({ ...this.jobs.get(id)!, state: 'done', endedMs: Date.now(), outcome: done() });
    })();
    return job;
  }

  private putJob(job: JobView): void {
    this.jobs.set(job.id, job);
    this.emit('job.changed', job);
  }

  /** Fills in the ports of the LANs and who uses which image. */
  private wire(): void {
    for (const network of this.networks.values()) {
      network.ports = [...this.machines.values()].flatMap((machine) =>
        machine.nics.filter((nic) => nic.network === network.name).map((nic) => ({
          machine: machine.id,
          nic: nic.id,
          mac: nic.mac,
          address: nic.addresses[0],
          linkUp: machine.state === 'running',
          ...this.moved(machine),
        })));
    }
  }

  /** Counters of a port, which grow in waves while its machine runs. */
  private moved(machine: MachineView) {
    const seconds = machine.state === 'running' ? (Date.now() - this.sinceMs) / 1000 : 0;
    const grown = (period: number) =>
      Math.round(2e5 * machine.name.length * (seconds + 0.9 * period * Math.sin(seconds / period)));
    const rxBytes = 9_400_000 + grown(3);
    const txBytes = 61_000_000 + grown(5);
    return { rxFrames: rxBytes >> 10, rxBytes, txFrames: txBytes >> 10, txBytes, dropped: 0 };
  }

  private changedNetwork(name: string): void {
    this.wire();
    const network = this.networks.get(name);
    if (network) this.emit('network.changed', { ...network, ports: [...network.ports] });
  }

  private sample(machine: MachineView, atMs: number): StatsSample {
    const seed = machine.name.length * 1.7;
    const wave = (period: number) => (Math.sin(atMs / 1000 / period + seed) + 1) / 2;
    const on = machine.state === 'running' ? 1 : 0;
    const given = machine.memoryMib * 2 ** 20;
    return {
      atMs,
      cpu: on * (0.04 + 0.5 * wave(9) * wave(3.1) ** 3),
      memoryGivenBytes: given,
      memoryHostBytes: given * (0.3 + 0.12 * wave(40)),
      memoryGuestBytes: given * (0.18 + 0.1 * wave(31)),
      diskReadBytesPerSecond: on * wave(5) ** 6 * 9e6,
      diskWriteBytesPerSecond: on * wave(7) ** 4 * 4e6,
      networkRxBytesPerSecond: on * wave(11) ** 2 * 2.4e6,
      networkTxBytesPerSecond: on * wave(8) ** 2 * 8e5,
    };
  }

  private tick(): void {
    const now = Date.now();
    for (const [connection, ids] of this.watched) {
      const samples = [...ids].filter((id) => this.machines.has(id))
        .map((id) => [id, this.sample(this.find(id), now)] as const);
      if (samples.length > 0) connection.emit('stats', Object.fromEntries(samples));
    }
    for (const network of this.networks.values()) {
      network.rxBytesPerSecond = network.ports.length * 4e5 * (1 + Math.sin(now / 4000));
      this.changedNetwork(network.name);
    }
  }

  private refuseTaken(name: string): void {
    for (const each of this.machines.values()) {
      if (each.name === name) throw new Refusal('exists', `There is already a machine “${name}”.`);
    }
  }

  private readonly handlers: Handlers = {
    ...fakeLife(this.find.bind(this), this.put.bind(this), this.add.bind(this)),
    'host.info': () => data.host,
    'host.doctor': async () => (await pause(this.stepMs), data.checks),
    'host.quit': () => null,
    'file.grant': () => ({ grant: 'grant-of-a-path' }),
    'machine.list': () => [...this.machines.values()],
    'machine.get': ({ machine }) => this.find(machine),
    'machine.create': (wish) => {
      const name = wish.name ?? `machine-${this.machines.size}`;
      this.refuseTaken(name);
      const outer = wish.inside && this.find(wish.inside);
      const some = { ...wish, name, engine: 'native', ...(outer && { parent: outer.name }) };
      const machine = data.machineOf(some as never, Date.now());
      if (outer) this.put(outer, { children: [...outer.children, name] });
      machine.nics = wish.networks.map((network, slot) => data.nicOf(slot, network));
      this.add(machine);
      for (const network of wish.networks) this.changedNetwork(network);
      return machine;
    },
    'machine.update': ({ machine, changes }) => {
      const found = this.find(machine);
      if (changes.name && changes.name !== found.name) this.refuseTaken(changes.name);
      const pending = found.state === 'running' && changes.memoryMib ? ['memoryMib'] : [];
      return this.put(found, { ...changes, pending });
    },
    'machine.config': ({ machine }) => ({ text: this.config(this.find(machine)) }),
    'machine.setConfig': ({ machine, text: words }) => {
      const lines = words.split('\n');
      const wrong = lines.findIndex((line) => /^\s*memroy/.test(line));
      if (wrong >= 0) {
        const at = { line: wrong + 1, column: 1 };
        throw new Refusal('bad-input', 'There is no key “memroy”; “memory” is meant?', at);
      }
      this.configs.set(machine, words);
      return this.put(this.find(machine), { fault: undefined });
    },
    'machine.remove': ({ machine, force }) => {
      const found = this.find(machine);
      if (found.state === 'running' && !force) {
        throw new Refusal('wrong-state', `${found.name} is running.`);
      }
      this.machines.delete(found.id);
      this.trash.push({ machine: { ...found, state: 'off' }, trashedMs: Date.now() });
      this.emit('machine.removed', { id: found.id });
      this.tellTrash();
      for (const nic of found.nics) this.changedNetwork(nic.network);
      return null;
    },
    'machine.trash': () => this.trashed(),
    'machine.recover': ({ machine }) => {
      const found = this.trash.find((each) => each.machine.name === machine);
      if (!found) throw new Refusal('not-found', `“${machine}” is not in the trash.`);
      this.trash = this.trash.filter((each) => each !== found);
      this.tellTrash();
      this.machines.set(found.machine.id, found.machine);
      this.emit('machine.changed', found.machine);
      return found.machine;
    },
    'machine.purge': ({ machine }) => {
      this.trash = this.trash.filter((each) => each.machine.name !== machine);
      this.tellTrash();
      return null;
    },
    'machine.export': ({ machine, path = `/home/you/Downloads/${machine}.nymph` }) =>
      this.job('machine-export', `Export ${this.find(machine).name}`, ['packing'], () => path),
    'machine.import': ({ name = 'brought' }) =>
      this.job('machine-import', 'Import a bundle', ['unpacking'], () => {
        this.add(data.machineOf({ name }, Date.now()));
        return name;
      }),
    'machine.start': ({ machine }) => this.start(this.find(machine)),
    'machine.stop': async ({ machine, children }) => {
      const inside = children ? this.find(machine).children : [];
      for (const name of inside) this.put(this.find(name), { state: 'off', agent: false });
      const found = this.put(this.find(machine), { state: 'stopping' });
      if (found.name === 'web-2') {
        await pause(this.stepMs * 4);
        throw new Refusal('timeout', 'web-2 did not shut down in time.');
      }
      await pause(this.stepMs * 2);
      return this.put(found, { state: 'off', agent: false, pid: undefined });
    },
    'machine.reset': ({ machine }) => this.start(this.find(machine)),
    'machine.reclaim': () => ({ freedBytes: 42 * 2 ** 20 }),
    'machine.monitor': () => ({ text: 'OK' }),
    'machine.translator': () => data.translator,
    'machine.log': ({ machine }) => data.logOf(this.find(machine)),
    'machine.exec': (_, { stream }) => sayOk(stream!),
    'machine.run': (_, { stream }) => sayOk(stream!),
    'console.attach': (wanted, caller) => this.attach(wanted, caller),
    'console.log': ({ machine, console }, { stream }) => {
      const key = `${this.find(machine).id}:${console}`;
      return stream!.sendAll(text.encode(this.scrollback.get(key) ?? '')).then(() => null);
    },
    'console.resize': () => null,
    'disk.add': ({ machine, sizeBytes, image }) => {
      const found = this.find(machine);
      const id = `disk${found.disks.length}`;
      const letter = 'abcdefgh'[found.disks.length] ?? 'z';
      return this.put(found, {
        disks: [...found.disks, {
          id, kind: image ? 'overlay' : 'blank', image, virtualBytes: sizeBytes ?? 2 ** 31,
          realBytes: 4096, device: `/dev/ubd${letter}`, attached: true,
        }],
      });
    },
    'disk.detach': ({ machine, disk }) => {
      const found = this.find(machine);
      const disks = found.disks.map((d) => (d.id === disk ? { ...d, attached: false } : d));
      return this.put(found, { disks });
    },
    'disk.delete': ({ machine, disk }) => {
      const found = this.find(machine);
      return this.put(found, { disks: found.disks.filter(({ id }) => id !== disk) });
    },
    'network.list': () => (this.wire(), [...this.networks.values()]),
    'network.create': ({ name, dhcp, dns }) => {
      if (this.networks.has(name)) throw new Refusal('exists', `There is already a LAN “${name}”.`);
      const third = this.networks.size + 1;
      const network = {
        id: `n-${name}`, name, subnet: `10.77.${third}.0/24`, gateway: `10.77.${third}.1`,
        services: { dhcp, dns }, ports: [], rxBytesPerSecond: 0, dropped: 0,
      };
      this.networks.set(name, network);
      this.changedNetwork(name);
      return network;
    },
    'network.update': ({ network, dhcp, dns, position }) => {
      const found = this.networks.get(network);
      if (!found) throw new Refusal('not-found', `There is no LAN “${network}”.`);
      if (dhcp !== undefined) found.services = { ...found.services, dhcp };
      if (dns !== undefined) found.services = { ...found.services, dns };
      if (position) found.position = position;
      this.changedNetwork(network);
      return found;
    },
    'network.remove': ({ network }) => {
      const found = this.networks.get(network);
      if (found?.ports.length) throw new Refusal('in-use', `Machines are on “${network}”.`);
      this.networks.delete(network);
      if (found) this.emit('network.removed', { id: found.id });
      return null;
    },
    'network.connect': ({ machine, network }) => {
      const found = this.find(machine);
      if (found.nics.some((nic) => nic.network === network)) {
        throw new Refusal('exists', `${found.name} is on “${network}” already.`);
      }
      const nics = [...found.nics, data.nicOf(found.nics.length, network, '10.77.1.9')];
      const next = this.put(found, { nics });
      this.changedNetwork(network);
      return next;
    },
    'network.disconnect': ({ machine, network }) => {
      const found = this.find(machine);
      const next = this.put(found, { nics: found.nics.filter((nic) => nic.network !== network) });
      this.changedNetwork(network);
      return next;
    },
    'layout.get': () => this.places,
    'layout.set': ({ places }) => {
      this.places = { ...this.places, ...places };
      this.emit('layout.changed', { places: this.places });
      return null;
    },
    'image.list': () => [...this.images.values()],
    'image.info': ({ image }) => this.images.get(image),
    'image.inspect': async ({ source }) => {
      await pause(this.stepMs);
      const report = 'grant' in source ? this.grants.get(source.grant) : undefined;
      if (!report) throw new Refusal('bad-input', 'This file is empty.');
      return report;
    },
    'image.import': ({ source, name = 'image' }) =>
      this.job('image-import', `Import ${name}`, ['Reading', 'Copying', 'Checking'], () => {
        const report = 'grant' in source ? this.grants.get(source.grant) : undefined;
        const image = { ...data.imported(Date.now()), name, title: name, usedBy: [], report };
        this.images.set(name, image);
        this.emit('image.changed', image);
        return name;
      }),
    'image.build': ({ recipe }) =>
      this.job('image-build', `Build ${recipe}`, ['Packages', 'Packing'], () => recipe),
    'image.remove': ({ image }) => {
      const found = this.images.get(image);
      if (found?.usedBy.length) throw new Refusal('in-use', `“${image}” is in use.`);
      this.images.delete(image);
      this.emit('image.removed', { name: image });
      return null;
    },
    'engine.prepare': () => null,
    'kernel.list': () => this.kernels,
    'kernel.build': ({ flavour = 'up' }) => {
      const steps = ['Fetching the source', 'Compiling', 'Checking'];
      return this.job('kernel-build', `Build the vkernel (${flavour})`, steps, () => 'up');
    },
    'kernel.import': () => {
      throw new Refusal('bad-input', 'That file is no kernel: it does not begin like a program.');
    },
    'kernel.setDefault': ({ kernel }) => {
      this.kernels = this.kernels.map((each) => ({ ...each, default: each.id === kernel }));
      this.emit('kernel.changed', { kernels: this.kernels });
      return null;
    },
    'kernel.remove': ({ kernel }) => {
      this.kernels = this.kernels.filter(({ id }) => id !== kernel);
      this.emit('kernel.changed', { kernels: this.kernels });
      return null;
    },
    'job.list': () => [...this.jobs.values()],
    'job.cancel': ({ job }) => {
      const found = this.jobs.get(job);
      if (found) this.putJob({ ...found, state: 'cancelled', endedMs: Date.now() });
      return null;
    },
    'job.wait': async ({ job }) => {
      while (this.jobs.get(job)?.state === 'running') await pause(20);
      return this.jobs.get(job);
    },
    'job.log': ({ job }) => ({ text: `CC      init/main.o\nCC      ${job}.o\nLD      vmlinux\n` }),
    'events.subscribe': (_, { connection }) => {
      connection.subscribed = true;
      this.wire();
      connection.emit('snapshot', {
        host: data.host,
        machines: [...this.machines.values()],
        networks: [...this.networks.values()],
        images: [...this.images.values()],
        kernels: this.kernels,
        jobs: [...this.jobs.values()],
      });
      return null;
    },
    'stats.watch': ({ machines }, { connection }) => {
      this.watched.set(connection, new Set(machines));
      const now = Date.now();
      return Object.fromEntries(machines.map((id) => [
        id,
        Array.from({ length: 120 }, (_, at) => this.sample(this.find(id), now - (120 - at) * 1000)),
      ]));
    },
  };

  private config(machine: MachineView): string {
    const kept = this.configs.get(machine.id);
    if (kept) return kept;
    const key = machine.fault ? 'memroy' : 'memory';
    return [
      '# yaml-language-server: $schema=machine.schema.json',
      'apiVersion: nymph/v1',
      'kind: Machine',
      `name: ${machine.name}`,
      'engine: auto',
      `cpus: ${machine.cpus}`,
      `${key}: ${machine.memoryMib}MiB`,
      'disks:',
      `  - {id: root, image: ${machine.image}, mode: overlay}`,
      `consoles: ${machine.consoles}  # getty runs on each`,
      '',
    ].join('\n');
  }
}

/** All that a guest can ask of a terminal: its kind, cursor, modes, settings and colours. */
const asked =
  '\x1b[c\x1b[>c\x1b[=c\x1b[5n\x1b[6n\x1b[?6n\x1b[4$p\x1b[?1$p\x1bP$qm\x1b\\\x1b[18t' +
  '\x1b]4;1;?\x07\x1b]10;?\x07\x1b]11;?\x07\x1b]12;?\x07\x1b[>q';

function answer(line: string): string {
  const word = line.trim();
  if (!word) return '';
  if (word === 'uname -a') return 'Linux tiny 7.2.1-nymph #1 x86_64 GNU/Linux\r\n';
  if (word === 'ask') return `${asked}asked\r\n`;
  if (word === 'link') return 'see https://example.org/hello\r\n';
  if (word === 'colours') {
    const dots = [31, 32, 33, 34, 35, 36, 37, 90].map((c) => `\x1b[${c}m●${c} `);
    return `${dots.join('')}\x1b[0m\r\n`;
  }
  return `-sh: ${word}: not found\r\n`;
}

async function sayOk(stream: { sendAll(bytes: Uint8Array): Promise<void> }) {
  await stream.sendAll(text.encode('ok\n'));
  return { code: 0 };
}
